"""Section 3.1 of the survey: data sets. A table of contents that imports nothing."""

CONTENTS = {
    "testbed": "proofglass.evaluation.datasets.testbed:TestbedData",
    "safebench": "proofglass.evaluation.datasets.safebench:SafeBench",
    "unicorns-sketch": "proofglass.evaluation.datasets.unicorns_sketch:UnicornsSketch",
    "unicorns-ood": "proofglass.evaluation.datasets.unicorns_ood:UnicornsOOD",
    "xstest": "proofglass.evaluation.datasets.xstest:XSTest",
    "safetybench": "proofglass.evaluation.datasets.safetybench:SafetyBench",
    "mossbench": "proofglass.evaluation.datasets.mossbench:MOSSBench",
    "harmbench-multimodal": "proofglass.evaluation.datasets.harmbench:HarmBenchMultimodal",
    "privqa": "proofglass.evaluation.datasets.privqa:PrivQA",
    "built": "proofglass.evaluation.datasets.built:Built",
    "own": "proofglass.evaluation.datasets.own:OwnData",
    "shown": "proofglass.evaluation.datasets.shown:Shown",
    "subset": "proofglass.evaluation.datasets.subset:Subset",
}
