"""What a folder's generation configuration asks of decoding, besides where a reply ends.

What shapes the scores of a greedy reply is followed, by transformers' own logits processors. Other searches than a
greedy one are not, and the settings of random draws belong to a study: `not_followed` names both.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers.generation import logits_process

# The value of a field that asks for nothing; None always does.
OTHER_SEARCHES: dict[str, Any] = {
    "num_beams": 1,
    "num_beam_groups": 1,
    "diversity_penalty": 0.0,
    "penalty_alpha": 0.0,
    "guidance_scale": 1,
    "encoder_repetition_penalty": 1.0,
    "encoder_no_repeat_ngram_size": 0,
    "dola_layers": None,
    "constraints": None,
    "force_words_ids": None,
    "watermarking_config": None,
    "token_healing": False,
}
DRAWS: dict[str, Any] = {
    "top_k": 0,
    "min_p": None,
    "top_h": None,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
}
NEUTRAL: dict[str, Any] = {"repetition_penalty": 1, "no_repeat_ngram_size": 0, "min_length": 0, "min_new_tokens": 0}


def not_followed(config: Any, drawn: bool) -> list[str]:
    """Fields of a generation configuration that replies do not follow, with their values. drawn: replies are random."""
    fields = {**OTHER_SEARCHES, **(DRAWS if drawn else {})}
    found = {name: getattr(config, name, None) for name in fields}
    return [f"{name} {value}" for name, value in found.items() if value not in (None, fields[name])]


class Scores:
    """The scores of next tokens as a generation configuration wants them. ends: ids of end tokens; most: new tokens of
    a reply at most. False where it wants nothing."""

    def __init__(self, config: Any, ends: Collection[int], most: int, device: torch.device) -> None:
        self.config, self.most, self.device = config, most, device
        self.ends = torch.tensor(sorted(ends), dtype=torch.long, device=device)
        self._kept: dict[int, list[Any]] = {}

    def __bool__(self) -> bool:
        """A repetition penalty alone is `Rules.penalty`, all rows at once."""
        penalty = float(getattr(self.config, "repetition_penalty", None) or 1)
        return len(self._processors(1)) > (penalty != 1)

    def __call__(self, ids: Sequence[int], prompt: int, scores: Tensor) -> Tensor:
        """Scores [V] of what follows `ids`, the first `prompt` of which are not the reply's."""
        told, found = torch.tensor([list(ids)], device=self.device), scores[None]
        for each in self._processors(prompt):
            found = each(told, found)
        return found[0]

    def _processors(self, prompt: int) -> list[Any]:
        """In the order in which `generate` applies them."""
        if prompt not in self._kept:
            self._kept[prompt] = list(self._made(prompt))
        return self._kept[prompt]

    def _made(self, prompt: int) -> list[Any]:
        make, ends, on = logits_process, self.ends, {"device": str(self.device)}
        makers: dict[str, Callable[[Any], Any]] = {
            "sequence_bias": lambda bias: make.SequenceBiasLogitsProcessor(sequence_bias=bias),
            "repetition_penalty": lambda by: make.RepetitionPenaltyLogitsProcessor(float(by)),
            "no_repeat_ngram_size": make.NoRepeatNGramLogitsProcessor,
            "bad_words_ids": lambda words: make.NoBadWordsLogitsProcessor(words, ends),
            "min_length": lambda n: make.MinLengthLogitsProcessor(n, ends, **on),
            "min_new_tokens": lambda n: make.MinNewTokensLengthLogitsProcessor(prompt, n, ends, **on),
            "forced_bos_token_id": make.ForcedBOSTokenLogitsProcessor,
            "forced_eos_token_id": lambda end: make.ForcedEOSTokenLogitsProcessor(prompt + self.most, end, **on),
            "exponential_decay_length_penalty": lambda by: make.ExponentialDecayLengthPenalty(by, ends, prompt),
            "suppress_tokens": lambda tokens: make.SuppressTokensLogitsProcessor(tokens, **on),
            "begin_suppress_tokens": lambda tokens: make.SuppressTokensAtBeginLogitsProcessor(tokens, prompt, **on),
        }
        needs_end = {"min_length", "min_new_tokens", "exponential_decay_length_penalty"}
        asked = {name: getattr(self.config, name, None) for name in makers}
        return [
            makers[name](value)
            for name, value in asked.items()
            if value not in (None, NEUTRAL.get(name), []) and (len(ends) or name not in needs_end)
        ]
