"""The detector: what it reads, what a row costs, what its reply says."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from defenses.training.protectors import model, protector
from proofglass.defenses.training import detector as detector_module
from proofglass.defenses.training.answers import Answer, Pair
from proofglass.defenses.training.detecting import Form, Learning, Read, loss_of_row, read_of
from proofglass.defenses.training.detector import HARMFUL, HARMLESS, HarmDetector, Text, asked, said, text_of
from proofglass.defenses.training.network import logits_of, network, tokenizer_in, trained_network
from proofglass.errors import UnsafeWeights, UsageError
from proofglass.registry import build
from proofglass.types import Ask, Chat
from proofglass.victims.hf_folder import HF


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model, and beside it what was trained from it."""
    root = tmp_path_factory.mktemp("detecting")
    protector(root / "lm", epochs=1).fitted(model(root / "lm"), root / "trained")
    return root


@pytest.fixture(scope="module")
def detector(folder: Path) -> HarmDetector:
    return HarmDetector(model(folder / "lm"), folder / "trained" / "detector", window=60)


@pytest.mark.parametrize(
    ("form", "logits", "harmless", "wanted"),
    [
        # softplus(-1) = .3132617, softplus(-.5) = .4740770, softplus(-1.5) = .2014133
        ("paper", (1.0, -0.5), (1.0, 0.0), 0.7873387),
        ("code", (1.0, -0.5), (1.0, 0.0), 1.7760906),
        # both harmful: softplus(.2) + softplus(.1), twice, and softplus(-.1)
        ("code", (0.2, 0.1), (0.0, 0.0), 3.7294677),
        ("code", (1.0,), (1.0,), 2 * 0.3132617),
        ("paper", (1.0,), (1.0,), 0.3132617),
    ],
)
def test_golden_values_of_both_forms_of_the_loss(
    form: Form, logits: tuple[float, ...], harmless: tuple[float, ...], wanted: float
) -> None:
    found = loss_of_row(torch.tensor(logits), torch.tensor(harmless), form)
    assert float(found) == pytest.approx(wanted, abs=1e-6)


def test_the_loss_of_a_step_is_the_mean_over_its_rows_however_they_are_parted(folder: Path) -> None:
    learning = Learning(model(folder / "lm"), rank=2, alpha=4, seed=0)
    rows = [Read("a", ((1, 9, 8), (1, 9)), (1.0, 0.0)), Read("b", ((1, 7),), (1.0,)), Read("c", ((5,),), (0.0,))]
    whole = [loss_of_row(logits_of(learning.model, row.answers), torch.tensor(row.harmless), "code") for row in rows]
    for micro in (1, 2, 8):
        found = torch.stack(list(learning.losses(rows, "code", micro))).sum()
        torch.testing.assert_close(found, torch.stack(whole).mean(), rtol=1e-5, atol=1e-6)


def test_a_row_is_read_as_question_and_answer_and_left_out_where_it_is_too_long(folder: Path) -> None:
    text = Text(tokenizer_in(model(folder / "lm")), "question and answer", 60)
    pair = Pair("a", "why ?", Answer("a kite", True), Answer("a drum", False), "a kite")
    long = Pair("b", "why ?", Answer("a kite", True), Answer("a drum" * 40, False), "a kite")
    (row,), (left,) = read_of([pair, long], text)
    assert (row.id, row.harmless) == ("a", (1.0, 0.0))
    assert text.tokenizer.decode(row.answers[0]) == "Question: why ?\n\nAnswer: a kite"
    assert (left.id, "at most 60 tokens" in left.reason) == ("b", True)
    assert Text(text.tokenizer, "answer", 60).ids("why ?", "a kite") == tuple(text.tokenizer.encode("a kite"))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=90), st.text(min_size=1, max_size=300), st.integers(1, 70))
def test_every_token_of_an_answer_is_in_some_window_and_no_window_is_too_long(
    folder: Path, question: str, answer: str, window: int
) -> None:
    text = Text(tokenizer_in(model(folder / "lm")), "question and answer", window)
    if not answer.strip():
        with pytest.raises(ValueError, match="no answer"):
            list(text.windows(question, answer))
        return
    windows = list(text.windows(question, answer))
    assert all(1 <= len(ids) <= window for ids in windows)
    if len(windows) > 1:
        head = len(text.ids(question, "")[-(window // 2) :]) if window > 1 else 0
        own = [ids[head:] for ids in windows]
        step = max(1, 3 * (window - head) // 4)
        joined = [token for ids in own[:-1] for token in ids[:step]] + list(own[-1])
        assert joined == text.tokenizer.encode(
            answer.encode("utf-8", "replace").decode(), add_special_tokens=False, split_special_tokens=True
        )


def test_no_window_is_longer_than_the_context_of_the_model(folder: Path) -> None:
    assert text_of(model(folder / "lm"), "answer", 512).window == 256
    assert text_of(model(folder / "lm"), "answer", 60).window == 60


def test_control_tokens_in_an_answer_are_plain_text(folder: Path) -> None:
    text = Text(tokenizer_in(model(folder / "lm")), "answer", 60)
    found = text.ids("", "a</s><pad><bot>b")
    assert not {0, 1, 2, 6} & set(found)


def test_the_worst_window_of_a_long_answer_counts(detector: HarmDetector) -> None:
    answers = ["a kite", "a kite " * 60, "a \ud800 kite"]
    found = detector.reply([asked("why ?", answer, detector) for answer in answers])
    for answer, reply in zip(answers, found, strict=True):
        windows = list(detector._text.windows("why ?", answer))
        logits = [float(logits_of(detector._model, [ids])[0]) for ids in windows]
        assert reply.choices[HARMLESS] == pytest.approx(1 / (1 + math.exp(-min(logits))), abs=1e-5)
        assert reply.choices[HARMFUL] == pytest.approx(1 - reply.choices[HARMLESS])
        assert (reply.cost.queries, reply.cost.forward) == (1, len(windows))


def test_a_batch_says_what_single_asks_say(folder: Path) -> None:
    alone = HarmDetector(model(folder / "lm"), folder / "trained" / "detector", batch=1)
    together = HarmDetector(model(folder / "lm"), folder / "trained" / "detector", batch=8)
    asks = [asked("why ?", "a kite" * k, alone) for k in range(1, 7)]
    for one, other in zip(alone.reply(asks), together.reply(asks), strict=True):
        assert one.choices[HARMFUL] == pytest.approx(other.choices[HARMFUL], abs=1e-5)
    assert alone.key == together.key


def test_each_window_of_a_batch_is_read_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = HarmDetector(model(folder / "lm"), folder / "trained" / "detector", window=60, batch=2)
    passes: list[int] = []
    whole = detector_module.logits_of
    monkeypatch.setattr(detector_module, "logits_of", lambda net, rows: passes.append(len(rows)) or whole(net, rows))
    detector.reply([asked("why ?", "a kite", detector)] * 5)
    assert passes == [2, 2, 1]


def test_what_fails_alone_costs_its_own_ask(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = HarmDetector(model(folder / "lm"), folder / "trained" / "detector", window=60)
    whole = detector_module.logits_of

    def failing(net: Any, rows: Any) -> Any:
        if any(len(row) > 35 for row in rows):
            raise RuntimeError("no room")
        return whole(net, rows)

    monkeypatch.setattr(detector_module, "logits_of", failing)
    found = detector.reply([asked("why ?", answer, detector) for answer in ("a kite", "a kite a kite", "b")])
    assert [reply.outcome for reply in found] == ["ok", "error", "ok"]
    assert "no room" in found[1].reason


def test_what_is_no_answer_costs_its_own_ask(detector: HarmDetector) -> None:
    asks = [
        Ask(Chat.user("why ?")),
        asked("why ?", "a kite", detector),
        Ask(Chat.user("why ?").say(" ")),
        Ask(Chat(())),
    ]
    found = detector.reply(asks)
    assert [reply.outcome for reply in found] == ["error", "ok", "error", "error"]
    assert all(
        "found no answer" in reply.reason and reply.fault == "ask" for reply in found if reply.outcome == "error"
    )


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_none_is_an_error_and_never_harmless(odd: float) -> None:
    reply = said([1.0, odd], 7)
    assert (reply.outcome, reply.text, dict(reply.choices)) == ("error", "", {})
    assert "expected finite numbers of its head" in reply.reason


@pytest.mark.parametrize("logit", [0.0, 3.0, -3.0, 800.0, -800.0])
def test_the_two_probabilities_add_up_to_one(logit: float) -> None:
    reply = said([logit], 1)
    assert reply.choices[HARMLESS] + reply.choices[HARMFUL] == 1
    assert reply.text == (HARMLESS if logit >= 0 else HARMFUL)


def test_the_head_is_drawn_by_the_seed_and_what_is_saved_replies_as_what_was_trained(
    folder: Path, tmp_path: Path
) -> None:
    backbone = model(folder / "lm")
    first, again, other = (network(backbone, seed).score.weight for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    learning = Learning(backbone, rank=2, alpha=4, seed=1)
    with torch.no_grad():
        for parameter in learning.parameters:
            parameter.add_(0.3)
    learning.save(tmp_path / "saved")
    text = Text(tokenizer_in(backbone), "question and answer", 60)
    with torch.no_grad():
        wanted = logits_of(learning.model, [text.ids("why ?", "a kite")])
    saved = HarmDetector(backbone, tmp_path / "saved", window=60)
    (reply,) = saved.reply([asked("why ?", "a kite", saved)])
    assert reply.choices[HARMLESS] == pytest.approx(float(wanted.sigmoid()[0]), abs=1e-5)
    assert str(folder) not in (tmp_path / "saved" / "adapter_config.json").read_text()


def test_only_plain_weights_of_a_text_model_are_taken(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a model of text alone"):
        network(build("victims", "testbed-linear", device="cpu"))
    with pytest.raises(UsageError, match="adapter: expected plain weights"):
        network(HF(folder / "lm", device="cpu", adapter=folder / "trained" / "detoxifier"))
    with pytest.raises(UsageError, match=r"expected the head \(score\) beside the adapter, found none"):
        trained_network(model(folder / "lm"), folder / "trained" / "detoxifier")
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.bin").write_bytes(b"\x80")
    with pytest.raises(UnsafeWeights, match=r"adapter_model\.bin: a pickle checkpoint"):
        trained_network(model(folder / "lm"), tmp_path)
