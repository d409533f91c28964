"""Section 3.1 of the survey: data sets. A table of contents that imports nothing."""

CONTENTS = {
    "testbed": "proofglass.evaluation.datasets.testbed:TestbedData",
    "safebench": "proofglass.evaluation.datasets.safebench:SafeBench",
    "unicorns-sketch": "proofglass.evaluation.datasets.unicorns_sketch:UnicornsSketch",
    "unicorns-ood": "proofglass.evaluation.datasets.unicorns_ood:UnicornsOOD",
    "own": "proofglass.evaluation.datasets.own:OwnData",
    "subset": "proofglass.evaluation.datasets.subset:Subset",
}
