"""HiddenDetect (Jiang et al. 2025): refusal words that a prompt calls up in the middle layers, before a word is said.

The form of the authors' code: the last token of each layer through the model's last normalisation and head, its cosine
with a one-hot of the first sub-tokens of refusal words, the area over layers. Their code reports curves and no
threshold: ours is set by `fit` at a share of false alarms. The list of words is ours, a parameter (theirs has 20).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from proofglass.defenses.acting import opens_layers
from proofglass.defenses.gated import Gated
from proofglass.defenses.learned import check_either, once, rows_of, unlearned
from proofglass.defenses.opened import Lens, Opened
from proofglass.defenses.vectors import TENSORS, chats_of, check_share, load, save
from proofglass.errors import UsageError
from proofglass.interfaces import Dataset, Defense, Paper, Share, Text, Victim, WhiteBoxVictim, innermost, rebased
from proofglass.types import Chat, Sample

if TYPE_CHECKING:
    import torch

PORTS = ("hidden_states", "prompt_states", "read_out", "encode", "decode")
SHAPES = {"layers": 1, "words": 1, "threshold": 1, "fdv": 1}
WORDS = (
    "sorry", "apologize", "apologies", "unable", "cannot", "can't", "unfortunately", "refuse", "decline", "not",
    "never", "illegal", "unethical", "inappropriate", "harmful", "dangerous", "unsafe", "against", "prohibited",
    "forbidden",
)  # fmt: skip
REFUSAL = "I cannot help with that."


@dataclass(frozen=True)
class HiddenDetect(Defense):
    """Withholds the reply to a prompt whose middle layers already speak of refusal: one pass over it, no call more.

    F of a layer: the cosine between the logits that its state would give and the refusal words' one-hot. Score: the
    area under F over the chosen layers, one apart. It blocks where the score is above the threshold.

    found: folder that `fit` wrote (layers, words, threshold); one of another model is refused. None: it is learned in
    the run. unsafe: a data set of prompts that are to be refused, whose crafting rows are learned from then. safe: one
    of prompts that are not. words: refusal words, in such a run. false_alarms: as for `fit`, in such a run. threshold:
    of the score; None: that of `fit`. layers: in place of those of `fit`, in order. refusal: what the user is then
    told.
    """

    name = "hiddendetect"
    version = 2  # what its gate adds to an attacker's loss is bounded
    paper = Paper(
        "Jiang et al. 2025",
        "HiddenDetect: Detecting Jailbreak Attacks against Large Vision-Language Models via Monitoring Hidden States",
        "arXiv:2502.14744",
    )
    needs_model = "layers"
    adaptive = "PGD, qi2023 through the lens, with the hinge of its gate"

    found: Path | None = None
    unsafe: Dataset | None = None
    safe: Dataset | None = None
    words: tuple[str, ...] = WORDS
    false_alarms: Share = 0.05
    threshold: float | None = None
    layers: tuple[int, ...] = ()
    refusal: Text = REFUSAL

    not_in_key = ("found",)
    learned_in, learns_from, learned_files = "found", ("unsafe", "safe"), (TENSORS,)
    not_learned = ("threshold", "refusal")

    def __post_init__(self) -> None:
        check_either("found", self.found, unsafe=self.unsafe, safe=self.safe)

    def fitted(self, model: Victim, folder: Path) -> HiddenDetect:
        inner = opens_layers(self, innermost(model), *PORTS)
        kinds = rows_of(self.unsafe, "unsafe"), rows_of(self.safe, "safe")
        told: Any = {"words": self.words, "layers": self.layers, "false_alarms": self.false_alarms}
        once(
            folder,
            lambda: load(folder, self.name, inner, SHAPES),
            lambda: self.fit(inner, *kinds, folder=folder, **told),
            {"rows": sum(map(len, kinds))},
        )
        return replace(self, found=folder)

    def __call__(self, victim: Victim) -> Victim:
        return rebased(victim, lambda model: self.opened(opens_layers(self, model, *PORTS)))

    def opened(self, model: WhiteBoxVictim) -> WhiteBoxVictim:
        return Opened(model, self, Lens(acting=self.gate(opens_layers(self, model, *PORTS))))

    def gate(self, model: WhiteBoxVictim) -> Gated:
        """The gate in `model`. Raises UsageError for a folder that is not of it."""
        if self.found is None:
            raise unlearned(self.name, "found")
        found, _ = load(self.found, self.name, model, SHAPES)
        layers = self.layers or tuple(int(layer) for layer in found["layers"].tolist())
        threshold = float(found["threshold"][0]) if self.threshold is None else self.threshold
        words = [int(token) for token in found["words"].tolist()]
        if odd := [layer for layer in layers if not 0 <= layer < len(found["fdv"])]:
            raise UsageError(f"{self.name}: layers: expected 0 to {len(found['fdv']) - 1}, found {odd}")
        ordered = tuple(sorted(set(layers)))

        def margins(model: WhiteBoxVictim, states: torch.Tensor) -> torch.Tensor:
            return (area(refusal_in(model, states, words)) - threshold)[:, None]

        return Gated(
            self.name, ordered, margins, refusal=self.refusal, threshold=threshold, named=("refusal in the layers",)
        )

    @classmethod
    def fit(
        cls,
        model: WhiteBoxVictim,
        unsafe: Iterable[Chat | Sample],
        safe: Iterable[Chat | Sample],
        *,
        folder: Path,
        words: Sequence[str] = WORDS,
        layers: Sequence[int] = (),
        false_alarms: Share = 0.05,
    ) -> Self:
        """Choose layers and threshold on a few dialogues of both kinds, write them into `folder`, and give the defense.

        layers: those of the area; none: the layers whose mean F(unsafe) - mean F(safe) (FDV) is above the last one's,
        as the authors choose, the last itself never (its state is normalised twice in some models); if none is, the
        one that comes closest. words: refusal words, of which those that this model cannot write are left out.
        false_alarms: the share of safe dialogues that the threshold lets it block. Raises ValueError where no word is
        left.
        """
        import torch

        check_share(false_alarms)
        bad, good = chats_of(unsafe, "unsafe"), chats_of(safe, "safe")
        first = first_tokens(opens_layers(cls, model, *PORTS), words)
        high, low = (refusal_in(model, model.hidden_states(chats), list(first.values())).cpu() for chats in (bad, good))
        fdv = high.mean(0) - low.mean(0)
        chosen = tuple(sorted(set(layers))) or chosen_by(fdv.tolist())
        if odd := [layer for layer in chosen if not 0 <= layer < len(fdv)]:
            raise ValueError(f"layers: expected 0 to {len(fdv) - 1}, found {odd}")
        threshold = torch.quantile(area(low[:, list(chosen)]), 1 - false_alarms)
        told = {"words": list(first), "layers": list(chosen), "unsafe": len(bad), "safe": len(good),
                "false_alarms": false_alarms, "threshold": float(threshold), "fdv": fdv.tolist()}  # fmt: skip
        tensors = {"layers": torch.tensor(chosen), "words": torch.tensor(list(first.values())),
                   "threshold": threshold[None], "fdv": fdv}  # fmt: skip
        save(Path(folder), cls.name, model, tensors, told)
        return cls(Path(folder))


def refusal_in(model: WhiteBoxVictim, states: torch.Tensor, words: Sequence[int]) -> torch.Tensor:
    """F, [n, L]: the cosine of the logits of each state [n, L, d] with the one-hot of `words`."""
    logits = model.read_out(states)
    length = (logits.norm(dim=-1) * len(words) ** 0.5).clamp(min=1e-12)
    found: torch.Tensor = logits[..., list(words)].sum(-1) / length
    return found


def area(values: torch.Tensor) -> torch.Tensor:
    """[n]: the trapezoid rule over the last axis of [n, L], points one apart; of one point its value."""
    import torch

    return values[..., 0] if values.shape[-1] == 1 else torch.trapezoid(values, dim=-1)


def chosen_by(fdv: Sequence[float]) -> tuple[int, ...]:
    """The layers whose difference is above that of the last one; else the best of those before it."""
    if len(fdv) == 1:
        return (0,)
    above = tuple(layer for layer, value in enumerate(fdv[:-1]) if value > fdv[-1])
    return above or (max(range(len(fdv) - 1), key=lambda layer: fdv[layer]),)


def first_tokens(model: WhiteBoxVictim, words: Sequence[str]) -> dict[str, int]:
    """Word -> its first sub-token, of the words that `model` can write; each token once."""
    found: dict[str, int] = {}
    for word in words:
        ids = model.encode(word)
        begun = model.decode(ids[:1]).strip().casefold() if ids else ""
        if begun and word.casefold().startswith(begun) and ids[0] not in found.values():
            found[word] = ids[0]
    if not found:
        raise ValueError(f"words: {model.name!r} can write none of {', '.join(words)}; name refusal words of its own")
    return found
