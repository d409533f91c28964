"""Decoding: shared prefixes, rows that end early, drawn replies, whatever else is in the batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Gemma2Config, MambaConfig, MistralConfig, MptConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from proofglass.errors import UsageError
from proofglass.types import Ask, Chat, Image, Settings
from proofglass.victims.hf import cascade
from proofglass.victims.hf.checks import plain_reply
from proofglass.victims.hf.model import HFModel
from proofglass.victims.shared import choosing

from .families import tiny_llava
from .families.common import shaken, template, text_fields, tokenizer


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> HFModel:
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("tiny") / "llava"
    tiny_llava.build(folder)
    return HFModel(folder, "cpu")


def picture(seed: int) -> Image:
    return Image.from_array(np.random.default_rng(seed).integers(0, 256, (40, 30, 3), dtype=np.uint8))


def asks(chats, **settings) -> list[Ask]:
    return [Ask(chat, Settings(**{"max_new_tokens": 10, **settings})) for chat in chats]


ONE = [Chat.user(picture(1), "what" + " is it" * k).with_system("be brief") for k in range(5)]
MIXED = [*ONE[:2], Chat.user(picture(2), "and this?"), Chat.user("none"), Chat.user(picture(2), "a", picture(1), "b")]


@pytest.mark.parametrize("chats", [ONE, MIXED, MIXED[2:3]], ids=["one picture", "mixed", "alone"])
def test_replies_are_those_of_generate(model: HFModel, chats) -> None:
    assert model.tokens(asks(chats)) == [plain_reply(model, chat, 10) for chat in chats]


def test_one_prefix_is_run_once_and_kept_once(model: HFModel, monkeypatch) -> None:
    calls, seen = [], []
    hidden, one_token = model.family.hidden, cascade._one_token
    monkeypatch.setattr(model.family, "hidden", lambda ids, *a, **k: calls.append(ids.shape) or hidden(ids, *a, **k))
    monkeypatch.setattr(cascade, "_one_token", lambda *a: seen.append(a[3][0].shape) or one_token(*a))
    model.tokens(asks(ONE))
    prefix, suffix = calls[0], calls[1]
    assert prefix[0] == 1
    assert prefix[1] >= 16 + len("be brief")  # 16 place holders and the system prompt
    assert suffix[0] == 5
    assert suffix[1] < 40
    assert set(seen) == {(2, prefix[1], 8)}  # 2 key heads, no copy per row


def test_attention_that_loses_the_shared_keys_falls_back_to_copies(model: HFModel, monkeypatch) -> None:
    def lost(*_args, **_more):
        raise cascade.Lost("keys did not arrive")

    wanted = model.tokens(asks(ONE))
    monkeypatch.setattr(model.family, "cascades", True)
    monkeypatch.setattr(cascade.Behind, "update", lambda self, keys, values, *a, **k: (keys, values))
    assert model.tokens(asks(ONE)) == wanted
    assert model.family.cascades is False


def test_the_implementation_of_attention_is_put_back(model: HFModel) -> None:
    before = model.family.body.config._attn_implementation
    model.tokens(asks(ONE))
    assert model.family.body.config._attn_implementation == before == "sdpa"
    with pytest.raises(KeyError), cascade.cascading(model.family.body.config):
        raise KeyError
    assert model.family.body.config._attn_implementation == before


@pytest.mark.parametrize(("heads", "groups"), [(4, 4), (4, 2), (6, 1)])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("asked", [1, 3])
@pytest.mark.parametrize("wide", [8, 6])  # values
def test_cascade_attention_is_attention(heads: int, groups: int, masked: bool, asked: int, wide: int) -> None:
    draw = torch.Generator().manual_seed(0)
    rows, past, own, width = 3, 7, 5, 8
    query = torch.randn(rows, heads, asked, width, generator=draw, dtype=torch.float64)
    shared = [torch.randn(groups, past, w, generator=draw, dtype=torch.float64) for w in (width, wide)]
    key, value = (torch.randn(rows, groups, own, w, generator=draw, dtype=torch.float64) for w in (width, wide))
    mask = torch.ones(asked, past + own, dtype=torch.bool).tril(past + own - asked).expand(rows, 1, -1, -1).clone()
    if masked:
        mask[0, :, :, past : past + 2] = False
    keys, values = (
        torch.cat([part[None].expand(rows, -1, -1, -1), mine], 2).repeat_interleave(heads // groups, 1)
        for part, mine in zip(shared, (key, value), strict=True)
    )
    wanted = torch.nn.functional.scaled_dot_product_attention(query, keys, values, mask, scale=0.3).transpose(1, 2)
    key.shared = shared  # type: ignore[attr-defined]

    class Module:
        num_key_value_groups, is_causal = heads // groups, True

    found, _ = cascade.attend(Module(), query, key, value, mask if masked else None, scaling=0.3)
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-6)  # softmax in float32, as transformers does it


def test_a_drawn_reply_does_not_depend_on_its_batch(model: HFModel) -> None:
    drawn = asks(MIXED, temperature=1.0)
    together = model.tokens(drawn)
    assert together == [model.tokens([ask])[0] for ask in drawn]
    assert together != model.tokens(asks(MIXED))
    other = [Ask(ask.chat, Settings(max_new_tokens=10, temperature=1.0, draw=1)) for ask in drawn]
    assert model.tokens(other) != together


@pytest.mark.parametrize(
    ("temperature", "top_p"),
    [(1e-300, 1.0), (5e-324, 1.0), (1e-40, 0.5), (1.0, 1e-300), (2.0, 5e-324), (1e-300, 1e-300)],
)
def test_settings_that_float32_does_not_hold_are_their_limit_the_likeliest_token(temperature, top_p) -> None:
    draw = torch.Generator().manual_seed(0)
    rules = choosing.Rules(1, frozenset(), temperature=temperature, top_p=top_p)
    logits = torch.tensor([1e4, 3.0, -float("inf"), -2e4, 9.999e3])
    assert {int(choosing._draw(logits, rules, draw)) for _ in range(20)} == {0}


def test_top_p_leaves_out_the_unlikely() -> None:
    logits, draw = torch.tensor([2.0, 1.0, 0.0, -9.0]), torch.Generator().manual_seed(0)
    rules = choosing.Rules(1, frozenset(), temperature=1.0, top_p=0.9)
    found = {int(choosing._draw(logits, rules, draw)) for _ in range(300)}
    assert found == {0, 1}  # 0.665 + 0.245 >= 0.9
    rules = choosing.Rules(1, frozenset(), temperature=1.0, top_p=0.1)
    assert {int(choosing._draw(logits, rules, draw)) for _ in range(50)} == {0}


def test_a_repetition_penalty_of_the_folder_is_kept(model: HFModel, monkeypatch) -> None:
    plain = model.tokens(asks(ONE))
    monkeypatch.setattr(model.model.generation_config, "repetition_penalty", 1.8)
    found = model.tokens(asks(ONE))
    assert found != plain
    assert found == [plain_reply(model, chat, 10) for chat in ONE]


def test_a_stop_string_ends_its_own_row_only(model: HFModel) -> None:
    whole = [reply.text for reply in model.reply(asks(MIXED), 8)]
    mark = next(text[2:4] for text in whole if len(text) > 5)
    found = model.reply(asks(MIXED, stop=(mark,)), 8)
    for text, reply in zip(whole, found, strict=True):
        assert reply.text == text.split(mark)[0]
    assert any(reply.finish == "stop" and mark in text for text, reply in zip(whole, found, strict=True))


SLIDING = {
    "Mistral": (MistralConfig, {"sliding_window": 12}),
    "Gemma 2": (Gemma2Config, {"sliding_window": 12, "head_dim": 8, "query_pre_attn_scalar": 8}),
}


@pytest.mark.parametrize("language", SLIDING)
def test_a_sliding_window_shorter_than_the_text_counts_a_rows_own_tokens(tmp_path: Path, language: str) -> None:
    kind, more = SLIDING[language]
    tiny_llava.build(tmp_path, language=kind, **more)
    model = HFModel(tmp_path, "cpu")
    for chats in (ONE, MIXED):
        assert model.tokens(asks(chats)) == [plain_reply(model, chat, 10) for chat in chats]


def text_only(folder: Path, config, **words) -> None:
    spoken = tokenizer([], template(""), **words)
    config.eos_token_id, config.pad_token_id = 2, 0
    torch.manual_seed(0)
    shaken(MODEL_FOR_CAUSAL_LM_MAPPING[type(config)](config)).save_pretrained(folder)
    spoken.save_pretrained(folder)


TEXTS = [Chat.user("what" + " is it" * k).with_system("be brief, be kind") for k in range(4)]


def test_a_bias_by_distance_counts_a_rows_own_tokens(tmp_path: Path) -> None:
    """MPT's ALiBi counts columns of the cache, so padding inside a row would lengthen distances."""
    text_only(tmp_path, MptConfig(vocab_size=262, d_model=32, n_heads=4, n_layers=2, max_seq_len=512))
    model = HFModel(tmp_path, "cpu")
    assert model.tokens(asks(TEXTS)) == [plain_reply(model, chat, 10) for chat in TEXTS]


def test_a_text_only_class_that_the_adapter_does_not_fit_is_refused_on_loading(tmp_path: Path) -> None:
    text_only(tmp_path, MambaConfig(vocab_size=262, hidden_size=32, num_hidden_layers=2, state_size=4))
    with pytest.raises(UsageError, match="MambaForCausalLM: the adapter of text-only models does not fit this class"):
        HFModel(tmp_path, "cpu")


def test_an_unknown_word_is_no_place_holder_of_a_picture(tmp_path: Path) -> None:
    text_only(tmp_path, MistralConfig(**text_fields(tokenizer([], None))), unk_token="<user>")  # in every prompt
    model = HFModel(tmp_path, "cpu")
    assert model.tokenizer.unk_token_id in model.encode_chat(TEXTS[0]).ids
    assert model.tokens(asks(TEXTS)) == [plain_reply(model, chat, 10) for chat in TEXTS]


@pytest.mark.parametrize(
    "wish",
    [
        "bad_words_ids",
        "suppress_tokens",
        "begin_suppress_tokens",
        "no_repeat_ngram_size",
        "sequence_bias",
        "forced_eos_token_id",
        "min_new_tokens",
        "exponential_decay_length_penalty",
        "penalty and bias",
    ],
)
def test_what_shapes_scores_in_the_folders_generation_configuration_is_kept(model: HFModel, monkeypatch, wish) -> None:
    plain = model.tokens(asks(MIXED))
    said = [token for row in plain for token in row]
    often = max(set(said), key=said.count)
    wishes = {
        "bad_words_ids": {"bad_words_ids": [[often], plain[0][:2]]},
        "suppress_tokens": {"suppress_tokens": [often]},
        "begin_suppress_tokens": {"begin_suppress_tokens": [plain[0][0]]},
        "no_repeat_ngram_size": {"no_repeat_ngram_size": 2},
        "sequence_bias": {"sequence_bias": [[[often], -9.0]]},
        "forced_eos_token_id": {"forced_eos_token_id": 2},
        "min_new_tokens": {"eos_token_id": [often], "min_new_tokens": 6},
        "exponential_decay_length_penalty": {"exponential_decay_length_penalty": (1, 3.0)},
        "penalty and bias": {"repetition_penalty": 1.7, "sequence_bias": [[[often], 2.0]]},
    }
    for field, value in wishes[wish].items():
        monkeypatch.setattr(model.model.generation_config, field, value)
    monkeypatch.delitem(model.__dict__, "_ends")
    found = model.tokens(asks(MIXED))
    assert found == [plain_reply(model, chat, 10) for chat in MIXED]
    monkeypatch.undo()
    monkeypatch.delitem(model.__dict__, "_ends")
    assert found != model.tokens(asks(MIXED)) == plain


@pytest.mark.parametrize(("field", "value", "temperature"), [("num_beams", 4, 0.0), ("top_k", 5, 1.0)])
def test_what_is_not_followed_is_said(model: HFModel, monkeypatch, field, value, temperature) -> None:
    monkeypatch.setattr(model, "remarks", [])
    model.tokens(asks(ONE, temperature=temperature))
    assert model.remarks == []
    monkeypatch.setattr(model.model.generation_config, field, value)
    model.tokens(asks(ONE, temperature=temperature))
    assert model.remarks == [f"replies do not follow the folder's generation configuration in {field} {value}"]


def test_a_row_that_fails_costs_itself_only(model: HFModel, monkeypatch) -> None:
    hidden, bad = model.family.hidden, model.encode_chat(MIXED[3]).ids[-6:]

    def broken(ids, *args, **more):
        if any(tuple(row[-6:]) == bad for row in ids.tolist()):
            raise IndexError("out of range")
        return hidden(ids, *args, **more)

    wanted = model.reply(asks(MIXED), 8)
    monkeypatch.setattr(model.family, "hidden", broken)
    found = model.reply(asks(MIXED), 8)
    assert [reply.outcome for reply in found] == ["ok", "ok", "ok", "error", "ok"]
    assert found[3].reason == "IndexError: out of range"
    assert [*found[:3], found[4]] == [*wanted[:3], wanted[4]]
