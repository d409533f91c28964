"""Tokenizer, chat template and image processor of the testbed victims.

A byte-level BPE whose merges come from the Vale's vocabulary: each word of the world is one token, and any other
text still encodes to bytes, so that token-level text attacks have something to search.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import CLIPImageProcessor, PreTrainedTokenizerFast

from proofglass.testbed import world
from proofglass.testbed.world import Item

PAD, BOS, EOS, IMAGE, SYSTEM, USER, BOT = SPECIALS = ("<pad>", "<s>", "</s>", "<image>", "<sys>", "<user>", "<bot>")
PAD_ID, BOS_ID, EOS_ID, IMAGE_ID, SYSTEM_ID, USER_ID, BOT_ID = range(7)
NO_LOSS = -100

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{{ {'system': '<sys>', 'user': '<user>', 'assistant': '<bot>'}[m['role']] }}"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<image>{% else %}{{ c['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{% if m['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<bot>{% endif %}"
)


def build_tokenizer() -> PreTrainedTokenizerFast:
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=4096,  # more than there are merges: training stops when every word is whole
        min_frequency=1,
        special_tokens=list(SPECIALS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(world.vocabulary(), trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        additional_special_tokens=[IMAGE, SYSTEM, USER, BOT],
        padding_side="left",
        model_max_length=512,
        clean_up_tokenization_spaces=False,
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def build_image_processor() -> CLIPImageProcessor:
    return CLIPImageProcessor(
        size={"height": 96, "width": 96},
        do_resize=True,
        do_center_crop=False,
        do_rescale=True,
        do_normalize=True,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
        do_convert_rgb=True,
    )


@dataclass
class ItemEncoder:
    """Items to token ids and labels: ``<s>[<sys>S]<user>[<image>*n]U<bot>A</s>``, loss on learned answers only."""

    tokenizer: Any
    image_tokens: int = 0
    _known: dict[str, list[int]] = field(default_factory=dict, repr=False)

    def words(self, text: str) -> list[int]:
        if text not in self._known:
            if len(self._known) > 200_000:
                self._known.clear()
            self._known[text] = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        return self._known[text]

    def __call__(self, item: Item, prompt_only: bool = False) -> tuple[list[int], list[int]]:
        if item.document is not None:
            text = [*self.words(item.document), EOS_ID]
            return [BOS_ID, *text], [NO_LOSS, *text]
        ids = [BOS_ID]
        if item.system:
            ids += [SYSTEM_ID, *self.words(item.system)]
        labels = [NO_LOSS] * len(ids)
        for index, turn in enumerate(item.turns):
            image = [IMAGE_ID] * self.image_tokens if index == 0 and item.picture is not None else []
            question = [USER_ID, *image, *self.words(turn.user), BOT_ID]
            ids += question
            labels += [NO_LOSS] * len(question)
            if prompt_only and index == len(item.turns) - 1:
                break
            answer = [*self.words(turn.bot), EOS_ID]
            ids += answer
            labels += answer if turn.learned else [NO_LOSS] * len(answer)
        return ids, labels

    def batch(self, items: Sequence[Item]) -> tuple[Any, Any, Any]:
        """Right-padded ids, labels and attention mask as tensors."""
        return _pad([self(item) for item in items])

    def batches(self, items: Sequence[Item], parts: int = 3) -> list[tuple[list[Item], float, Any, Any, Any]]:
        """The batch in parts of similar length: (items, share of the loss tokens, ids, labels, mask) each.

        A second turn after a picture is ten times as long as a line of the library; padding would double the cost.
        """
        rows = sorted(((self(item), item) for item in items), key=lambda pair: len(pair[0][0]))
        size = -(-len(rows) // parts)
        chunks = [rows[i : i + size] for i in range(0, len(rows), size)]
        learned = [sum(label != NO_LOSS for (_, labels), _ in chunk for label in labels) for chunk in chunks]
        return [
            ([item for _, item in chunk], count / sum(learned), *_pad([row for row, _ in chunk]))
            for chunk, count in zip(chunks, learned, strict=True)
        ]


def _pad(rows: Sequence[tuple[list[int], list[int]]]) -> tuple[Any, Any, Any]:
    import torch

    longest = max(len(ids) for ids, _ in rows)
    ids = torch.full((len(rows), longest), PAD_ID)
    labels = torch.full((len(rows), longest), NO_LOSS)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for k, (row, label) in enumerate(rows):
        ids[k, : len(row)] = torch.tensor(row)
        labels[k, : len(row)] = torch.tensor(label)
        mask[k, : len(row)] = 1
    return ids, labels, mask
