"""nanoGCG, run by a Python that has it, one step at a time: waits for a line on stdin before each step.

Reads one job as a line of JSON (`token_search.Job`), writes a line of JSON for each step, {"seconds": CPU time of this
process, "candidates": how many were scored}, and last {"losses": of each step, "first": at the start}.
Its candidates are drawn as `proofglass.engine.swaps` draws them, from the same seeds: positions in order, each about
equally often, and a uniform pick of the best allowed tokens there.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import sys
import time
from typing import Any

import nanogcg.gcg as nanogcg
import torch
import transformers

logging.disable(logging.WARNING)
transformers.logging.set_verbosity_error()

CHANNEL = os.fdopen(os.dup(1), "w")  # to the process that started this one, in another environment


def tell(**facts: Any) -> None:
    CHANNEL.write(json.dumps(facts) + "\n")
    CHANNEL.flush()


def seed_of(*parts: object) -> int:
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1


class Paced(nanogcg.GCG):  # type: ignore[misc]
    """Says after each step what it cost, and waits for the next line."""

    def __init__(self, model: Any, tokenizer: Any, config: Any, job: dict[str, Any]) -> None:
        super().__init__(model, tokenizer, config)
        allowed = set(job["allowed"])
        self.not_allowed_ids = torch.tensor([t for t in range(self.embedding_layer.num_embeddings) if t not in allowed])
        self.began: float | None = None
        self.scored = 0

    def compute_token_gradient(self, optim_ids: torch.Tensor) -> torch.Tensor:
        self.pause()
        return super().compute_token_gradient(optim_ids)

    def pause(self) -> None:
        if self.began is not None:
            tell(seconds=time.process_time() - self.began, candidates=self.scored)
        sys.stdin.readline()
        self.began = time.process_time()

    def _compute_candidates_loss_original(self, search_batch_size: int, input_embeds: torch.Tensor) -> torch.Tensor:
        self.scored = len(input_embeds)
        found = super()._compute_candidates_loss_original(search_batch_size, input_embeds)
        if self.began is None:
            tell(first=float(found.min()))
        return found


def sampler(seed: int) -> Any:
    step = 0

    def sample(
        ids: torch.Tensor,
        grad: torch.Tensor,
        search_width: int,
        topk: int = 256,
        n_replace: int = 1,
        not_allowed_ids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        nonlocal step
        if not_allowed_ids is not None:
            grad[:, not_allowed_ids] = float("inf")
        best = grad.topk(min(topk, int(grad[0].isfinite().sum())), dim=1, largest=False).indices
        generator = torch.Generator().manual_seed(seed_of(seed, "swap", step))
        picks = torch.randint(best.shape[1], (search_width,), generator=generator)
        places = torch.tensor([i * len(ids) // search_width for i in range(search_width)])
        step += 1
        return ids.repeat(search_width, 1).scatter_(1, places[:, None], best[places, picks][:, None])

    return sample


def main() -> None:
    job = json.loads(sys.stdin.readline())
    torch.set_num_threads(job["threads"])
    model = transformers.AutoModelForCausalLM.from_pretrained(job["folder"], torch_dtype=torch.float32).eval()
    model.requires_grad_(False)
    tokenizer = transformers.AutoTokenizer.from_pretrained(job["folder"])
    nanogcg.sample_ids_from_grad = sampler(job["seed"])
    nanogcg.tqdm = lambda steps: steps
    config = nanogcg.GCGConfig(
        num_steps=job["steps"],
        optim_str_init=job["start"],
        search_width=job["candidates"],
        topk=job["top"],
        batch_size=job["batch"],
        allow_non_ascii=True,  # what may be written is given
        verbosity="ERROR",
    )
    search = Paced(model, tokenizer, config, job)
    found = search.run(job["question"], job["target"])
    search.pause()
    tell(losses=found.losses)


if __name__ == "__main__":
    main()
