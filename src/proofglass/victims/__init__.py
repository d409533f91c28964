"""Models under test. A table of contents that imports nothing."""

_FUSIONS = ("linear", "queries", "cross")
_ALIGNMENTS = ("", "-naive", "-guarded", "-strict")
_TESTBED = "proofglass.victims.testbed:TestbedVictim"

CONTENTS = {
    **{
        f"testbed-{fusion}{alignment}": (_TESTBED, {"variant": f"testbed-{fusion}{alignment}"})
        for fusion in _FUSIONS
        for alignment in _ALIGNMENTS
    },
    "testbed-lm-helpful": (_TESTBED, {"variant": "testbed-lm-helpful"}),
    "testbed-lm-aligned": (_TESTBED, {"variant": "testbed-lm-aligned"}),
    "surrogate-captioner": (_TESTBED, {"variant": "surrogate-captioner"}),
    "llava": "proofglass.victims.llava:Llava",
    "ocr-llm": "proofglass.victims.ocr_llm:OcrLLM",
    "ocr-llm-control": ("proofglass.victims.ocr_llm:OcrLLM", {"reader": "truth"}),
}
