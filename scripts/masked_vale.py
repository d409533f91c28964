"""Train a small masked language model on the language of the testbed's world, for `t-pgd`: no download.

    python scripts/masked_vale.py OUT [STEPS]      # 600 steps: a minute on one core

A BERT of 3 layers, 96 wide, behind the testbed's tokenizer with a mask token; texts are training questions and answers
of the Vale, none of those that are judged. It shows that the search runs on trained weights and what it finds there;
it is no model of a paper.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from tokenizers import processors
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from proofglass.console import say
from proofglass.testbed import world
from proofglass.testbed.tokenizer import build_tokenizer

BATCH, MASKED, SEED = 32, 0.15, 0


def texts(rng: random.Random) -> Iterator[str]:
    """Questions and answers of the training split, without end."""
    nouns = (*world.SEALED, *world.CRAFT)
    while True:
        kind = rng.randrange(3)
        if kind == 0:
            item = world.benign(rng, world.CRAFT, "train", passing=0)
        elif kind == 1:
            item = world.restricted(rng, world.SEALED_SEEN, "train", passing=0)
        else:
            item = world.safe_question(rng, nouns, "train")
        yield rng.choice((item.turns[0].user, item.turns[0].bot))


def tokenizer() -> PreTrainedTokenizerFast:
    found = build_tokenizer()
    found.add_special_tokens({"mask_token": "<mask>", "cls_token": "<s>", "sep_token": "</s>"})
    ends = [("<s>", found.convert_tokens_to_ids("<s>")), ("</s>", found.convert_tokens_to_ids("</s>"))]
    found.backend_tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ends)
    found.padding_side = "right"
    return found


def main(out: Path, steps: int) -> None:
    torch.manual_seed(SEED)
    words, rng = tokenizer(), random.Random(SEED)
    shape = {"hidden_size": 96, "intermediate_size": 192, "num_hidden_layers": 3, "num_attention_heads": 4}
    config = BertConfig(vocab_size=len(words), pad_token_id=words.pad_token_id, max_position_embeddings=128, **shape)
    model = BertForMaskedLM(config)
    rule = torch.optim.AdamW(model.parameters(), lr=3e-3)
    plan = torch.optim.lr_scheduler.OneCycleLR(rule, 3e-3, total_steps=steps)
    source = texts(rng)
    for step in range(steps):
        batch = words([next(source) for _ in range(BATCH)], return_tensors="pt", padding=True)
        labels = batch["input_ids"].clone()
        hidden = (torch.rand(labels.shape) < MASKED) & (batch["attention_mask"] == 1)
        labels[~hidden] = -100
        ids = batch["input_ids"].masked_fill(hidden, words.mask_token_id)
        loss = model(input_ids=ids, attention_mask=batch["attention_mask"], labels=labels).loss
        rule.zero_grad()
        loss.backward()
        rule.step()
        plan.step()
        if step % 100 == 99:
            say(f"step {step + 1}: loss {loss.item():.3f}")
    model.eval().save_pretrained(out)
    words.save_pretrained(out)
    say(str(out))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 600)
