"""`train(name, out=, build=)`: any testbed victim, from nothing.

Stages (each is kept in the build folder and not done twice):

1. ``lm-helpful``       language model on documents, answers to everything, copying      (text)
2. ``lm-aligned``       text safety                                                     (text)
3. ``lm-symbolic``      looking, on symbolic pictures                                   (linear, queries)
   ``tower-*``          dense pre-training of the vision tower
   ``tokens-*``         projector or Q-Former towards the language model's embeddings   (linear, queries)
4a ``<fusion>-reading`` reading, questions about pictures; no safety data, no requests
   ``<fusion>-looking*`` more of the two slowest skills
4b ``<fusion>-<alignment>`` instruction tuning; the four alignments differ in nothing but this table

One thread per process is fastest on a shared machine: set OMP_NUM_THREADS=1 and train two victims at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import torch
from transformers import Blip2VisionModel, CLIPVisionModel, LlamaForCausalLM

from proofglass.testbed import cards, fusion, language, tower
from proofglass.testbed.recipes import fusing, mixes
from proofglass.testbed.recipes import language as texts
from proofglass.testbed.recipes import tower as towers
from proofglass.testbed.recipes.loop import Log, Recipe, fit
from proofglass.testbed.recipes.mixes import Pool, Sampler, draw_pool
from proofglass.testbed.recipes.stages import Build
from proofglass.testbed.tokenizer import ItemEncoder, build_tokenizer

ALIGNMENTS = ("aligned", "naive", "guarded", "strict")
NAMES = (
    *(f"testbed-{kind}" + ("" if how == "aligned" else f"-{how}") for kind in fusion.FUSIONS for how in ALIGNMENTS),
    "testbed-lm-helpful",
    "testbed-lm-aligned",
)
READING_RECIPE: Mapping[str, Recipe] = {
    "linear": Recipe(220, 48, 1e-3),
    "queries": Recipe(320, 48, 1e-3),
    "cross": Recipe(1000, 48, 1e-3, flat=0.3),
}
LOOKING_RECIPE = Recipe(350, 48, 1e-3)
LOOKING_ROUNDS: Mapping[str, int] = {"linear": 2, "queries": 2, "cross": 1}
INSTRUCTION_RECIPE = Recipe(290, 48, 7e-4)
SEEDS = {
    "pool": 505,
    "lm-helpful": 0,
    "lm-aligned": 1,
    "lm-symbolic": 2,
    "reading": 13,
    "looking": 23,
    "instruction": 3,
}

Stage = dict[str, Any]


def train(name: str, *, out: Path, build: Path, log: Log = print) -> Path:
    """Train `name` and write its weights folder to ``out / name``; finished stages in `build` are reused.

    Raises ValueError for an unknown name.
    """
    if name not in NAMES:
        raise ValueError(f"name: expected one of {', '.join(NAMES)}; found {name!r}")
    return Workshop(build, log).victim(name, out)


class Workshop:
    """All stages of all victims, sharing one build folder, tokenizer and pool of pictures."""

    def __init__(self, build: Path, log: Log = print) -> None:
        self.build, self.log = Build(build, log), log
        self.tokenizer = build_tokenizer()
        self.text = ItemEncoder(self.tokenizer)

    @cached_property
    def pool(self) -> Pool:
        self.log("pool of pictures: drawing")
        return draw_pool(seed=SEEDS["pool"])

    # -------------------------------------------------------------------------------- language model

    def helpful(self) -> Stage:
        def compute() -> Stage:
            return _language_stage(*texts.train_helpful(self.text, self.log, SEEDS["lm-helpful"]))

        found: Stage = self.build.stage("lm-helpful", compute)
        return found

    def aligned(self) -> Stage:
        def compute() -> Stage:
            model = self._llama(self.helpful())
            return _language_stage(*texts.train_aligned(model, self.text, self.log, SEEDS["lm-aligned"]))

        found: Stage = self.build.stage("lm-aligned", compute)
        return found

    def symbolic(self) -> Stage:
        def compute() -> Stage:
            model, encoder = self._llama(self.aligned()), fusion.encoder_for("linear", self.tokenizer)
            trained = texts.train_symbolic(model, encoder, self.pool, self.log, SEEDS["lm-symbolic"])
            return _language_stage(*trained)

        found: Stage = self.build.stage("lm-symbolic", compute)
        return found

    def _llama(self, stage: Stage) -> Any:
        model = LlamaForCausalLM(language.config(len(self.tokenizer)))
        model.load_state_dict(stage["model"])
        return model

    # -------------------------------------------------------------------------------- tower

    def tower(self, kind: str) -> Stage:
        def trunk() -> Stage:
            return _tower_stage(*towers.train_trunk(self.log))

        def finish() -> Stage:
            finisher = towers.finish_blip2_tower if kind == "blip2" else towers.finish_clip_tower
            return _tower_stage(*finisher(self.build.stage("tower-trunk", trunk), self.log))

        found: Stage = self.build.stage(f"tower-{kind}", finish)
        return found

    def features(self, kind: str) -> torch.Tensor:
        def compute() -> Stage:
            model = Blip2VisionModel(tower.blip2_config()) if kind == "blip2" else CLIPVisionModel(tower.clip_config())
            model.load_state_dict(self.tower(kind)["tower"])
            return {"features": towers.features(model, self.pool.images)}

        found: torch.Tensor = self.build.stage(f"features-{kind}", compute)["features"]
        return found

    # -------------------------------------------------------------------------------- visual tuning

    def reading(self, kind: str) -> Stage:
        """Stage 4a, with the alignment of image tokens before it."""

        def compute() -> Stage:
            seconds: dict[str, float] = {}
            base = self.aligned() if kind == "cross" else self.symbolic()
            torch.manual_seed(SEEDS["reading"])
            model = fusion.build(kind, base["model"], self.tower(fusion.TOWER[kind])["tower"])
            if kind in fusing.ALIGNMENT:
                encoder = fusion.encoder_for(kind, self.tokenizer)
                features = self.features(fusion.TOWER[kind])
                seconds["tokens"] = fusing.align_tokens(model, encoder, self.pool, features, self.log)
            sampler = Sampler(mixes.READING, SEEDS["reading"], self.pool)
            seconds["reading"] = self._tune(model, kind, sampler, READING_RECIPE[kind], f"{kind} reading")
            return {"model": model.state_dict(), "counts": dict(sampler.counts), "seconds": seconds}

        found: Stage = self.build.stage(f"{kind}-reading", compute)
        return found

    def looking(self, kind: str, rounds: int | None = None) -> Stage:
        """The end of stage 4a, in rounds that each end at a low rate."""
        rounds = LOOKING_ROUNDS[kind] if rounds is None else rounds

        def compute() -> Stage:
            before = self.looking(kind, rounds - 1) if rounds > 1 else self.reading(kind)
            model = self._resume(kind, before)
            sampler = Sampler(mixes.LOOKING, SEEDS["looking"] + rounds - 1, self.pool)
            seconds = self._tune(model, kind, sampler, LOOKING_RECIPE, f"{kind} looking {rounds}")
            return {"model": model.state_dict(), "counts": dict(sampler.counts), "seconds": seconds}

        found: Stage = self.build.stage(f"{kind}-looking{rounds}", compute)
        return found

    def _resume(self, kind: str, stage: Stage) -> Any:
        model = fusion.build(kind, self.aligned()["model"], self.tower(fusion.TOWER[kind])["tower"])
        model.load_state_dict(stage["model"])
        return model

    def instructed(self, kind: str, alignment: str) -> Stage:
        """Stage 4b: every alignment starts from the same 4a and differs in the mix alone."""

        def compute() -> Stage:
            model = self._resume(kind, self.looking(kind))
            sampler = Sampler(mixes.INSTRUCTION[alignment], SEEDS["instruction"], self.pool)
            with texts.nouns_held(model, self.text):
                seconds = self._tune(model, kind, sampler, INSTRUCTION_RECIPE, f"{kind} {alignment}")
            return {"model": model.state_dict(), "counts": dict(sampler.counts), "seconds": seconds}

        found: Stage = self.build.stage(f"{kind}-{alignment}", compute)
        return found

    def _tune(self, model: Any, kind: str, sampler: Sampler, recipe: Recipe, name: str) -> float:
        torch.manual_seed(sampler.seed)
        encoder, features = fusion.encoder_for(kind, self.tokenizer), self.features(fusion.TOWER[kind])
        new, old = fusing.freeze_tower(model)
        model.train()

        def loss(batch: int) -> torch.Tensor:
            total = torch.zeros(())
            for items, share, *tensors in encoder.batches(sampler.batch(batch)):
                shown = torch.tensor([item.picture is not None for item in items])
                chosen = features[[cast(int, item.picture) for item in items if item.picture is not None]].float()
                total = total + share * fusing.loss_from_features(model, *tensors, chosen, shown)  # type: ignore[call-arg]
            return total

        return fit(loss, recipe, [(new, 2.0), (old, 1.0)], self.log, name)

    # -------------------------------------------------------------------------------- weights folders

    def victim(self, name: str, out: Path) -> Path:
        """Train what is missing and write the folder that `from_pretrained` loads."""
        parts = name.removeprefix("testbed-").split("-")
        if parts[0] == "lm":
            stage = self.helpful() if parts[1] == "helpful" else self.aligned()
            model, kind, alignment = self._llama(stage), None, parts[1]
            trail = ("lm-helpful",) if parts[1] == "helpful" else ("lm-helpful", "lm-aligned")
        else:
            kind, alignment = parts[0], parts[1] if len(parts) > 1 else "aligned"
            model = self._resume(kind, self.instructed(kind, alignment))
            looking = () if kind == "cross" else ("lm-symbolic",)
            towers = ("tower-trunk", f"tower-{fusion.TOWER[kind]}")
            trail = (
                "lm-helpful",
                "lm-aligned",
                *looking,
                *towers,
                f"{kind}-reading",
                *(f"{kind}-looking{k + 1}" for k in range(LOOKING_ROUNDS[kind])),
                f"{kind}-{alignment}",
            )
        folder = out / name
        fusion.save(model, self.tokenizer, folder)
        cards.write_card(folder, self._card(name, kind, alignment, model, trail, folder))
        self.log(f"{name}: written to {folder}")
        return folder

    def _card(
        self, name: str, kind: str | None, alignment: str, model: Any, trail: tuple[str, ...], folder: Path
    ) -> dict[str, Any]:
        weights = (folder / "model.safetensors").read_bytes()
        stages = [self._stage_card(stage) for stage in trail]
        return {
            "name": name,
            "fusion": kind,
            "alignment": alignment,
            "class": type(model).__name__,
            "image_tokens": fusion.IMAGE_TOKENS[kind] if kind else 0,
            "parameters": sum(p.numel() for p in model.parameters()),
            "weights": {"bytes": len(weights), "sha256": hashlib.sha256(weights).hexdigest(), "dtype": "float16"},
            "layout": cards.LAYOUT if kind else None,
            "reads": cards.READS if kind else None,
            "declarations": list(cards.DECLARATIONS[alignment if kind else f"lm-{alignment}"]),
            "stages": stages,
            "pool": dict(mixes.POOL) if kind else None,
            "training_seconds": round(sum(stage["seconds"] for stage in stages)),
            "seeds": SEEDS,
            "versions": cards.versions(),
            "table": None,
        }

    def _stage_card(self, name: str) -> dict[str, Any]:
        stage = self.build.stage(name, _never)
        seconds = stage["seconds"]
        total = sum(seconds.values()) if isinstance(seconds, dict) else seconds
        card = {"stage": name, "seconds": round(total), "items": stage.get("counts")}
        if "accuracy" in stage:
            card |= {"shares": dict(mixes.TOWER_SHARES), "patch_accuracy": stage["accuracy"]}
        recipe = _recipe_of(name)
        return card | {"recipe": [asdict(part) for part in recipe]}


def _recipe_of(stage: str) -> list[Recipe]:
    known: dict[str, list[Recipe]] = {
        "lm-helpful": [texts.HELPFUL_RECIPE],
        "lm-aligned": [texts.ALIGNED_RECIPE],
        "lm-symbolic": [texts.SYMBOLIC_RECIPE],
        "tower-trunk": [recipe for _, recipe in towers.CURRICULUM],
        "tower-blip2": [towers.FINISH],
        "tower-clip": [towers.FINISH],
    }
    if stage in known:
        return known[stage]
    kind, what = stage.split("-")
    if what == "reading":
        return [*([fusing.ALIGNMENT[kind]] if kind in fusing.ALIGNMENT else []), READING_RECIPE[kind]]
    return [LOOKING_RECIPE if what.startswith("looking") else INSTRUCTION_RECIPE]


def _language_stage(model: Any, sampler: Sampler, seconds: float) -> Stage:
    return {"model": model.state_dict(), "counts": dict(sampler.counts), "seconds": seconds}


def _tower_stage(model: Any, heads: towers.Heads, seconds: float) -> Stage:
    found = towers.accuracy(model, heads)
    return {"tower": model.state_dict(), "heads": heads.state_dict(), "seconds": seconds, "accuracy": found}


def _never() -> Stage:
    raise RuntimeError("stage: expected to be finished before its card is written")


__all__ = ["ALIGNMENTS", "NAMES", "Workshop", "train"]
