"""What the conformance suite builds: every registered name, with defaults or with the arguments listed here.

A name is missing here exactly if its defaults are enough. Iteration counts are lowered: a contract does not need 5000
steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from attacker_models import Proposer, Yes
from conformance import made_files
from evaluation.datasets import makers_first, makers_ours, makers_second
from judge_models import Grader
from picture_helpers import Means, Rewriter, Stand, Words
from proofglass.evaluation.judges.forbidden_phrases import ForbiddenPhrases
from proofglass.evaluation.judges.refusal import NotRefused, Refusal
from proofglass.images.fonts import font_path
from proofglass.models.testbed import DETECTORS, ENCODERS
from proofglass.registry import Kind, build, entries
from proofglass.testing.material import Scripted, asks, attempts, picture, samples
from proofglass.victims.testbed import TestbedVictim
from tiny_classifiers import build as tiny_classifier
from tiny_masked import build as tiny_masked
from tiny_models import build as tiny

__all__ = ["Bench", "asks", "attempts", "different_victims", "make_bench", "names", "picture", "samples"]

HF = "proofglass.victims.hf_folder:HF"
TESTBED = "proofglass.victims.testbed:TestbedVictim"
GUARD = "proofglass.evaluation.judges.guard:Guard"
TOXICITY = "proofglass.evaluation.judges.toxicity:Toxicity"
LLM = "proofglass.evaluation.judges.llm.judge:LLMJudge"
# Registered names that are a control or a part of a measurement and come from no paper.
WITHOUT_PAPER = {"no-attack", "random-noise", "none", "calibrated"}
# How each defense is switched off, other than by leaving it out.
DISABLED: dict[str, dict[str, Any]] = {
    "none": {},
    "system-prompt": {"text": ""},
    "self-moderation": {"rounds": 0},
    "inferaligner": {"alpha": 0.0},
    "hiddendetect": {"threshold": 1e6},
    "astra": {"alpha": 0.0},
    "coca": {"principle": ""},
    "immune": {"weight": 0.0},
    "self-reminder": {"before": "", "behind": ""},
    "goal-priority": {"template": "{question}"},
    "ecso": {"unsafe": ()},
    "adashield-static": {"shield": ""},
    "jpeg": {"quality": None},
    "bit-depth": {"bits": 8},
    "resize": {"factor": 1.0},
    "blur": {"sigma": 0.0},
    "random-crop": {"share": 1.0},
    "random-resize-pad": {"smallest": 1.0},
    "smooth-vlm": {"share": 0.0},
    "jailguard": {"copies": 0},
    "mirrorcheck": {"painters": (Stand(),), "encoders": (Means(),), "threshold": -1.0},
    "cider": {"denoiser": Stand(), "encoder": Means(), "threshold": -2.0},
    "bluesuffix": {"image_purifier": None, "text_purifier": None, "suffix_model": None, "passes": 0},
    "purify-endpoint": {"purifier": Stand(), "passes": 0},
}
# Defenses that are fitted on a model: the field that takes the folder.
FITTED = {"inferaligner": "vectors", "hiddendetect": "found", "astra": "vectors"}
# Defenses that are trained on a model.
TRAINED = ("safety-tuning", "dpo", "dress", "textual-unlearning", "rloo", "fare", "tecoa")
# Defenses that are left out to switch them off: walls, pools and helpers have no value that does nothing.
ALWAYS_ON = {
    "calibrated",
    "mllm-protector",
    "guard-input",
    "guard-output",
    "ocr-guard",
    "adashield",
    "eta",
    "dps",
    *TRAINED,
}

_FENCE, _OTHER_FENCE = ForbiddenPhrases(("the grey door",)), ForbiddenPhrases(("the red door",))

# Another value for the fields of metrics in which `checks` cannot guess one.
_LABELS: dict[str, Any] = {"labels": ("yes", "no", "maybe"), "unread": "left out"}
METRICS: dict[str, dict[str, Any]] = {
    "asr": {"among": "refused without attack"},
    "asr-flips": {"among": "all"},
    "rsr-all": {"among": "answered"},
    "rsr-answered": {"among": "all"},
    "accuracy": {"figure": "macro-F1", **_LABELS},
    "macro-f1": {"figure": "accuracy", **_LABELS},
    "auroc": {"truth": "kind"},
    "protection-score": {"figure": "utility"},
    **{f"protection-{name}": {"figure": "score"} for name in ("sensitivity", "specificity", "utility")},
    "wintore": {"figure": "toxicity probability"},
    **{name: {"figure": "WInToRe"} for name in ("toxicity-probability", "expected-maximum-toxicity")},
    **{
        name: {"at": at}
        for name, at in (("first-query-success", "any query"), ("best-of-budget-success", "first query"))
    },
    "ssim": {"figure": "psnr", "variant": "default"},
    **{name: {"figure": "ssim", "variant": "default"} for name in ("psnr", "linf")},
}


# Data sets in their official layouts, in miniature; safebench and the unicorns are made here.
MADE = {name: maker for name, maker in makers_first.MAKERS.items() if not name.startswith(("safebench", "unicorns"))}
MADE |= makers_second.MAKERS | makers_ours.MAKERS
OTHERS = makers_first.OTHERS | makers_second.OTHERS | makers_ours.OTHERS


@dataclass(frozen=True)
class Bench:
    """Folders that some plugs need, made once per test run."""

    lm: Path
    llava: Path
    safebench: Path
    unicorns: Path
    rules: Path
    api: str  # base URL of a server that speaks OpenAI's chat completions
    encoder: Path
    adapter: Path
    sets: dict[str, dict[str, Any]]  # name of a data set -> arguments
    classifier: Path
    recorded: Path  # answers of Perspective
    rubric: Path
    masked: Path  # a masked language model
    template: Path
    brief: Path
    phrases: Path
    shields: Path
    slots: Path
    threshold: Path

    def arguments(self, kind: Kind, name: str) -> dict[str, Any]:
        """Constructor arguments for a registered name, beyond its defaults."""
        table: dict[tuple[str, str], dict[str, Any]] = {
            ("attacks", "qi2023"): {"steps": 2, "targets_per_step": 2},
            ("attacks", "pgd"): {"steps": 2},
            ("attacks", "cropa"): {"steps": 3, "prompts": ("what is it ?", "who is it ?")},
            ("attacks", "bagdasaryan2023"): {"epochs": 1},
            # The tiny model answers everything wrongly: without a threshold below 0 nothing would be attacked.
            ("attacks", "schlarmann2023"): {"steps": 2, "threshold": -1.0, "epsilon": 16 / 255},
            ("attacks", "apgd"): {"steps": 2},
            ("attacks", "square"): {"steps": 6},
            ("attacks", "black-box-pgd"): {"steps": 2, "draws": 2},
            ("attacks", "carlini2023"): {"steps": 2},
            ("attacks", "bailey2023"): {"steps": 2, "validation": 1, "validate_every": 1},
            ("attacks", "fu2023"): {"steps": 2, "answer_tokens": 4, "call": '<a b="1">'},
            ("attacks", "shayegani2023"): {"steps": 2},
            # One prompt: the joined reply of several is not the reply of one.
            ("attacks", "tu2023"): {"steps": 2, "prompts": ("describe the picture .",), "words": ("kite", "drum")},
            ("attacks", "mm-safetybench"): {"phrases": self.phrases},
            ("attacks", "chen2023b-overlay"): {"protected": "India", "sheet": (96, 64)},
            ("attacks", "third-party-text"): {"sheet": (96, 64)},
            ("attacks", "downscale-injection"): {"filter": "bicubic", "size": (28, 28), "scale": 2, "sheet": (56, 56)},
            ("attacks", "gcg"): {"steps": 2, "candidates": 8, "top": 4, "tokens": 6, "check_every": 1},
            ("attacks", "hotflip"): {"steps": 3, "candidates": 4, "tokens": 6},
            ("attacks", "arca"): {"steps": 2, "candidates": 4, "fill_ins": 2, "tokens": 4},
            ("attacks", "qi2023-text"): {"rounds": 1, "candidates": 4, "targets_per_step": 2, "tokens": 3},
            ("attacks", "tu2023-text"): {"steps": 2, "candidates": 8, "top": 4, "tokens": 6},
            ("attacks", "dong2023"): {"rounds": 2, "draws": 2, "surrogates": ("testbed-clip",)},
            # A judge that takes any answer as none: no weights, and searches use their budget.
            ("attacks", "sasp"): {"helper": Proposer(), "judge": Yes(), "rounds": 2},
            ("attacks", "best-of-n-text"): {"n": 3, "judge": Yes()},
            ("attacks", "best-of-n-image"): {"n": 3, "judge": Yes()},
            ("attacks", "t-pgd"): {"model": self.masked, "judge": Yes(), "segments": 1, "steps": 3},
            ("attacks", "text-template"): {"file": self.template},
            ("victims", "llava"): {"path": self.llava, "device": "cpu"},
            ("victims", "hf-plain"): {"path": self.llava, "device": "cpu"},
            ("judges", "perspective"): {"recorded": self.recorded},
            ("victims", "own"): {"module": "toy_module:Toy"},
            ("victims", "ocr-llm"): {"model": str(self.lm), "device": "cpu"},
            ("victims", "ocr-llm-control"): {"model": str(self.lm), "device": "cpu"},
            ("victims", "api"): {"model": "vllm/m", "base_url": self.api},
            ("victims", "openai-compatible"): {"model": "m", "base_url": self.api},
            ("models", "hf-encoder"): {"path": self.encoder, "device": "cpu"},
            ("models", "image-endpoint"): {"model": "painter", "base_url": "http://127.0.0.1:9/v1"},
            ("models", "timm-encoder"): {"path": self.encoder, "device": "cpu"},
            ("models", "open-clip-encoder"): {"path": self.encoder, "device": "cpu"},
            ("judges", "reasoning"): {"judge": Refusal()},
            ("datasets", "safebench"): {"root": self.safebench, "pictures": "official"},
            ("datasets", "unicorns-sketch"): {"root": self.unicorns},
            ("datasets", "unicorns-ood"): {"root": self.unicorns},
            ("datasets", "testbed"): {"n": 12, "craft_n": 4},
            ("datasets", "testbed-feedback"): {"parts": ("restricted-image", "benign"), "n": 3, "craft_n": 2},
            ("datasets", "fictional-screens"): {"n": 6, "craft_n": 2},
            ("judges", "own-rubric"): {"rubric": str(self.rubric)},
            ("defenses", "immune"): {"reward": made_files.Pleased()},
            ("judges", "forbidden-phrases"): {"phrases": ("the grey door",)},
            ("defenses", "guard-input"): {"judge": _FENCE},
            ("defenses", "guard-output"): {"judge": _FENCE},
            ("defenses", "calibrated"): {"defense": build("defenses", "jailguard"), "found": self.threshold},
            ("defenses", "ocr-guard"): {"judge": _FENCE, "reader": "truth"},
            ("defenses", "adashield"): {
                "pool": self.shields, "encoder": build("models", "testbed-clip", device="cpu"), "other_models": True,
            },
            ("defenses", "eta"): {"reward": _FENCE, "encoder": build("models", "testbed-clip", device="cpu")},
            ("defenses", "mirrorcheck"): {"painters": (Stand(),), "encoders": (Means(),)},
            ("defenses", "cider"): {"denoiser": Stand(), "encoder": Means()},
            ("defenses", "bluesuffix"): {
                "image_purifier": Stand(9),
                "text_purifier": Rewriter(),
                "suffix_model": Words(),
            },
            ("defenses", "purify-endpoint"): {"purifier": Stand(9)},
            ("defenses", "mllm-protector"): {
                "backbone": build("victims", "testbed-lm-aligned", device="cpu"),
                "trained": made_files.protector(self.lm.parent / "fitted" / "mllm-protector"),
            },
        }  # fmt: skip
        if kind == "defenses" and name in TRAINED:
            return {"tuned": made_files.trained(self.lm.parent / "trained" / name, name)}
        if kind == "defenses" and name in FITTED:
            return {FITTED[name]: made_files.fitted(self.lm.parent / "fitted" / name, name)}
        if kind == "judges" and entries(kind)[name].target == LLM:
            return {"helpers": (Grader(),), **table.get((kind, name), {})}
        if kind == "victims" and entries(kind)[name].target == HF:
            return {"path": self.llava, "device": "cpu"}  # in place of weights on the hub
        if kind == "datasets" and name in self.sets:
            return self.sets[name]
        if kind == "judges" and entries(kind)[name].target == GUARD:
            return {"helper": Scripted()}
        if kind == "judges" and entries(kind)[name].target == TOXICITY:
            return {"model": str(self.classifier), "device": "cpu", "labels": ("insult", "threat")}
        return table.get((kind, name), {})

    def with_files(self, kind: Kind, name: str) -> Any:
        """The plug with a file or a folder in every field that may name one."""
        encoder = f"hf-encoder:{self.encoder}"
        table: dict[str, dict[str, Any]] = {
            **{
                name: {f"{part}_file": self.rules for part in ("scenario", "emotion", "suppression", "prefix")}
                for name, entry in entries("attacks").items()
                if entry.target.endswith(":Enhancers")
            },
            "prompt-theft": {"turns_file": self.rules},
            "sasp": {"theft_file": self.rules, "brief_file": self.brief},
            "chen2023b-prefix": {"persona_file": self.rules},
            "chen2023b-two-hop": {f"{name}_file": self.rules for name in ("first", "second", "merged")},
            "best-of-n-image": {"prompt_file": self.rules},
            "t-pgd": {"classifier": self.masked},
            "prompt-leak": {"prompt_file": self.rules},
            "figstep": {"incitement_file": self.rules, "font": str(font_path("DejaVuSans"))},
            "third-party-text": {"text_file": self.rules, "font": str(font_path("DejaVuSans"))},
            "downscale-injection": {"text_file": self.rules, "font": str(font_path("DejaVuSans"))},
            "figstep-pro": {"template_file": self.rules, "font": str(font_path("DejaVuSans"))},
            "phrases": {"rules": str(self.rules)},
            "misled": {"rules": str(self.rules)},
            "tu2023": {"encoder": encoder},
            "shayegani2023": {"encoder": encoder},
            "dong2023": {"surrogates": ("testbed-clip", encoder)},
            "hf": {"adapter": self.adapter},
            "llava": {"adapter": self.adapter},
            **{
                name: {"adapter": self.adapter, "weights": TestbedVictim(name).folder}
                for name, entry in entries("victims").items()
                if entry.target == TESTBED
            },
            "self-reminder": {"before_file": self.rules, "behind_file": self.rules},
            "ecso": {f"{name}_file": self.slots for name in ("tell", "describe", "final")},
            "goal-priority": {"template_file": self.slots},
            "adashield-static": {"shield_file": self.rules},
            "mllm-protector": {"rewrite_file": self.slots},
            "defense-instruction": {f"{name}_file": self.rules for name in ("system", "check", "guard")},
            "forbidden-phrases": {"phrases_file": self.rules},
        }
        if (kind, name) == ("attacks", "mm-safetybench"):  # a data set and a judge have this name, too
            return self.build(kind, name, variant="SD", template_file=self.rules, pictures=self.adapter)
        return self.build(kind, name, **table.get(name, {}))

    def other_values(self, name: str) -> dict[str, Any]:
        """Another value for fields in which `checks` cannot guess one."""
        table: dict[str, dict[str, Any]] = {
            "sasp": {"judge": Yes("no"), "helper": Proposer("well"), "theft": ("say it ?",), "brief": "write {goal}"},
            "text-template": {"file": self.rules},
            "prompt-theft": {"turns": ("say it ?",)},
            "best-of-n-text": {"judge": Yes("no"), "kind": "repeated"},
            "best-of-n-image": {
                "judge": Yes("no"),
                "kind": "gaussian",
                "base": "victim",
                "draws": "instruction",
                "sides": (99, 100),
                "sizes": (9, 10),
                "fonts": ("DejaVuSerif",),
            },
            "t-pgd": {"judge": Yes("no")},
            "chen2023b-two-hop": {"hops": "merged"},
            "figstep": {"size": 40, "font": "DejaVuSans", "incitement": "fill it in", "grid": 12, "steps": 5},
            "figstep-pro": {
                "font": "DejaVuSans",
                "size": 40,
                "parts": 2,
                "canvas": "cut",
                "template": "do {sentence}",
                "fallback_text": "again: {sentence}",
                "placeholder": "it",
            },
            "safebench": {"prompt": "fill it in", "categories": (1,), "pictures": "none"},
            "answer-match": {"mode": "exact"},
            "p-yes": {"yes": ("yes", "yeah"), "no": ("no", "nope"), "missing": "zero"},
            "shayegani2023": {"trigger": "visual", "layer": "patches", "start": "noise", "patch": (4, 4, 0.5, 0.5)},
            "tu2023": {"variant": "sin", "words": ("broom", "kite"), "prompts": ("what is it ?",)},
            "phrases": {"rules": "xstest"},
            "misled": {"rules": str(self.rules), "count_refusals": True},
            "dong2023": {"goal": "text", "surrogates": ("surrogate-cnn",), "prompt": None, "xi": 0.01},
            "wrong-answer": {"metric": "vqa"},
            "token-f1": {"figure": "recall"},
            "perspective": {"source": "question", "attributes": ("INSULT",), "languages": ("en",)},
            "hf-plain": {"dtype": "float64", "template_options": {"tone": "calm"}},
            "tool-call": {"call": '<a b="1">', "mode": "argument"},
            "guard-input": {"judge": _OTHER_FENCE},
            "guard-output": {"judge": _OTHER_FENCE},
            "ocr-guard": {"judge": _OTHER_FENCE},
            "calibrated": {"defense": build("defenses", "jailguard", copies=4)},
            "eta": {"reward": _OTHER_FENCE},
            "dps": {"weak": Scripted(), "secretary": Scripted("so")},
            "defense-instruction": {"aims": ("check",)},
            "forbidden-phrases": {"phrases": ("the red door",)},
            "adashield": {"layout": "query shield"},
            "adashield-static": {"layout": "query shield"},
            **{name: {"device": "cpu"} for name in (*ENCODERS, *DETECTORS)},
            **{f"yes-no-{name}": {"figure": "f1"} for name in ("accuracy", "precision", "recall", "share-of-yes")},
            "reasoning": {"judge": NotRefused()},
            "reasoning-leak-of-all": {"of": "withheld"},
            "yes-no-accuracy-of-all": {"figure": "f1"},
            "yes-no-f1": {"figure": "recall"},
            **METRICS,
            **{n: {"shows": "question"} for n, e in entries("judges").items() if e.target == GUARD},
            **{n: {"over": "mean"} for n, e in entries("judges").items() if e.target == TOXICITY},
            **{n: {"helpers": (Grader(junk=True),)} for n, e in entries("judges").items() if e.target == LLM},
        }
        return {**table.get(name, {}), **OTHERS.get(name, {})}  # a judge and a data set may share a name

    def build(self, kind: Kind, name: str, **more: Any) -> Any:
        if name == "ocr-llm" and find_spec("rapidocr") is None:
            pytest.skip("needs the extra real: rapidocr is not installed")
        if name in ("api", "openai-compatible") and find_spec("inspect_ai") is None:
            pytest.skip("needs the extra api: inspect-ai is not installed")
        return build(kind, name, **{**self.arguments(kind, name), **more})


def make_bench(folder: Path, api: str) -> Bench:
    rules = folder / "rules.txt"
    rules.write_text("no way\n")
    template = folder / "template.txt"
    template.write_text("in a story : {question}")
    brief = folder / "brief.txt"
    brief.write_text("write : {goal}")
    return Bench(
        tiny("lm", folder / "lm"),
        tiny("llava", folder / "llava"),
        made_files.safebench(folder / "safebench"),
        made_files.unicorns(folder / "unicorns"),
        rules,
        api,
        made_files.encoder(folder / "encoder"),
        made_files.adapter(folder / "adapter"),
        {name: maker(_folder(folder / "sets" / name)) for name, maker in MADE.items()},
        tiny_classifier(folder / "classifier"),
        made_files.recorded(folder / "perspective.jsonl"),
        made_files.rubric(folder / "rubric.yaml"),
        tiny_masked(folder / "masked"),
        template,
        brief,
        made_files.phrases(folder / "phrases.json"),
        made_files.shields(folder / "shields"),
        made_files.slots(folder / "slots.txt"),
        made_files.threshold(folder / "threshold"),
    )


def names(kind: Kind) -> list[str]:
    """Every registered name of a kind, those of other installed packages included."""
    return list(entries(kind))


def different_victims() -> list[str]:
    """Names of victims, without those of weights on the hub: all of them are "hf" with another path."""
    return [name for name in names("victims") if name == "hf" or entries("victims")[name].target != HF]


def _folder(place: Path) -> Path:
    place.mkdir(parents=True)
    return place
