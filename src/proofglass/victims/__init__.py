"""Models under test. A table of contents that imports nothing."""

_FUSIONS = ("linear", "queries", "cross")
_ALIGNMENTS = ("", "-naive", "-guarded", "-strict")
_TESTBED = "proofglass.victims.testbed:TestbedVictim"

# Usual weights of each family by their names on the model hub. Gated, so that the hub wants its licence accepted and
# `hf auth login`: paligemma-3b, gemma3-4b, llama3.2-vision-11b.
_HF = "proofglass.victims.hf_folder:HF"
_HUB = {
    "llava-1.5-7b": "llava-hf/llava-1.5-7b-hf",
    "llava-1.5-13b": "llava-hf/llava-1.5-13b-hf",
    "llava-1.6-mistral-7b": "llava-hf/llava-v1.6-mistral-7b-hf",
    "llava-1.6-vicuna-7b": "llava-hf/llava-v1.6-vicuna-7b-hf",
    "llava-onevision-7b": "llava-hf/llava-onevision-qwen2-7b-ov-hf",
    "blip2-opt-2.7b": "Salesforce/blip2-opt-2.7b",
    "instructblip-vicuna-7b": "Salesforce/instructblip-vicuna-7b",
    "idefics-9b-instruct": "HuggingFaceM4/idefics-9b-instruct",
    "idefics2-8b": "HuggingFaceM4/idefics2-8b",
    "idefics3-8b": "HuggingFaceM4/Idefics3-8B-Llama3",
    "smolvlm-256m": "HuggingFaceTB/SmolVLM-256M-Instruct",
    "smolvlm2-2.2b": "HuggingFaceTB/SmolVLM2-2.2B-Instruct",
    "qwen2-vl-7b": "Qwen/Qwen2-VL-7B-Instruct",
    "qwen2.5-vl-7b": "Qwen/Qwen2.5-VL-7B-Instruct",
    "qwen3-vl-8b": "Qwen/Qwen3-VL-8B-Instruct",
    "internvl3-8b": "OpenGVLab/InternVL3-8B-hf",
    "paligemma-3b": "google/paligemma-3b-mix-224",
    "gemma3-4b": "google/gemma-3-4b-it",
    "llama3.2-vision-11b": "meta-llama/Llama-3.2-11B-Vision-Instruct",
    "phi4-multimodal": "microsoft/Phi-4-multimodal-instruct",
}
_REVISIONS = {"phi4-multimodal": "refs/pr/70"}  # in the format of transformers; main needs code of its own

CONTENTS = {
    **{
        f"testbed-{fusion}{alignment}": (_TESTBED, {"variant": f"testbed-{fusion}{alignment}"})
        for fusion in _FUSIONS
        for alignment in _ALIGNMENTS
    },
    "testbed-lm-helpful": (_TESTBED, {"variant": "testbed-lm-helpful"}),
    "testbed-lm-aligned": (_TESTBED, {"variant": "testbed-lm-aligned"}),
    "surrogate-captioner": (_TESTBED, {"variant": "surrogate-captioner"}),
    "hf": _HF,
    "hf-plain": "proofglass.victims.hf_plain:HFPlain",
    **{
        name: (_HF, {"path": path} | ({"revision": _REVISIONS[name]} if name in _REVISIONS else {}))
        for name, path in _HUB.items()
    },
    "llava": "proofglass.victims.llava:Llava",
    "own": "proofglass.victims.own:OwnModule",
    "ocr-llm": "proofglass.victims.ocr_llm:OcrLLM",
    "ocr-llm-control": ("proofglass.victims.ocr_llm:OcrLLM", {"reader": "truth"}),
    "api": "proofglass.victims.inspect:ApiVictim",
    "openai-compatible": ("proofglass.victims.inspect:ApiVictim", {"provider": "openai-compatible"}),
}
