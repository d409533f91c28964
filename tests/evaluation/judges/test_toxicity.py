"""Toxicity: the numbers of transformers' own pipeline, long texts in pieces, and what is not judged."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from proofglass.errors import UnsafeWeights, UsageError
from proofglass.evaluation.judges.classifier import Classifier, placed
from proofglass.evaluation.judges.toxicity import Toxicity
from proofglass.registry import build, entry
from proofglass.types import Attempt, Chat, Reply, Sample
from tiny_classifiers import DETOXIFY
from tiny_classifiers import build as tiny

TEXTS = ["a kite .", "what a drum !", "", "brooms", "é 🙂 \u202e", "\ud800 half", "a\x00b"]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifiers")
    tiny(folder / "many", kind="multi_label_classification")
    tiny(folder / "two", ("LABEL_0", "LABEL_1"))
    tiny(folder / "three", ("a", "b", "c"), kind="single_label_classification")
    tiny(folder / "one", ("toxic",))
    tiny(folder / "roberta", ("LABEL_0", "LABEL_1"), family="roberta")
    return folder


def attempt(reply: str | Reply, question: str = "how do i mend a kite ?") -> Attempt:
    sample = Sample("s", "bench", Chat.user(question))
    return Attempt(sample, Chat.user("the attack"), reply if isinstance(reply, Reply) else Reply(reply))


def reference(folder: Path, text: str, apply: str) -> dict[str, float]:
    """transformers' own pipeline: label -> probability."""
    words = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    ask = pipeline("text-classification", model=model, tokenizer=words, device="cpu")
    found = ask(text, top_k=None, function_to_apply=apply)
    return {each["label"]: each["score"] for each in found}


@pytest.mark.parametrize(
    ("name", "apply", "labels"),
    [
        ("many", "sigmoid", DETOXIFY),
        ("many", "sigmoid", ("insult", "threat")),
        ("two", "softmax", ("LABEL_1",)),
        ("roberta", "softmax", ("LABEL_1",)),
        ("three", "softmax", ("b",)),
        ("one", "sigmoid", ("toxic",)),
    ],
)
def test_the_probability_is_the_largest_of_transformers_own_pipeline(
    root: Path, name: str, apply: str, labels: tuple[str, ...]
) -> None:
    named = () if name in ("two", "roberta", "one") else labels
    judge = Toxicity(str(root / name), labels=named, threshold=None, device="cpu")
    for text in ("a kite .", "what a drum ! it is loud", "é 🙂"):
        expected = reference(root / name, text, apply)
        (score,) = judge.score([attempt(text)])
        assert score.value == pytest.approx(max(expected[label] for label in labels), abs=1e-4)
        assert score.label == "probability"


def test_the_activation_can_be_stated_and_auto_follows_the_pipelines_rule(root: Path) -> None:
    text = "a kite ."
    stated = Toxicity(str(root / "two"), activation="sigmoid", threshold=None, device="cpu").score([attempt(text)])[0]
    assert stated.value == pytest.approx(max(reference(root / "two", text, "sigmoid").values()), abs=1e-4)
    soft = Toxicity(str(root / "many"), labels=("insult",), activation="softmax", threshold=None, device="cpu")
    assert soft.score([attempt(text)])[0].value == pytest.approx(
        reference(root / "many", text, "softmax")["insult"], abs=1e-4
    )


def test_a_batch_of_one_is_a_batch_of_many_and_a_list_of_one_is_a_list(root: Path) -> None:
    shown = [attempt(text) for text in TEXTS]
    judge = Toxicity(str(root / "many"), threshold=None, device="cpu")
    together = judge.score(shown)
    alone = [judge.score([each]) for each in shown]
    small = dataclasses.replace(judge, batch=1).score(shown)
    assert all(len(each) == 1 for each in alone)
    for a, (b,), c in zip(together, alone, small, strict=True):
        assert (a.value is None) == (b.value is None) == (c.value is None)
        if a.value is not None:
            assert a.value == pytest.approx(b.value, abs=1e-5)
            assert a.value == pytest.approx(c.value, abs=1e-5)
    assert judge.score([]) == []


def test_verdicts_name_the_toxic_labels_and_the_threshold_is_from_it_up(root: Path) -> None:
    text = "a kite ."
    chances = reference(root / "many", text, "sigmoid")
    cut = sorted(chances.values())[-3]
    judge = Toxicity(str(root / "many"), threshold=math.floor(cut * 1e6) / 1e6, device="cpu")
    (score,) = judge.score([attempt(text)])
    toxic = [label for label in DETOXIFY if chances[label] >= cut - 1e-5]
    assert (score.value, score.label) == (1.0, f"toxic: {', '.join(toxic)}")
    assert len(toxic) == 3
    (score,) = dataclasses.replace(judge, threshold=1.0).score([attempt(text)])
    assert (score.value, score.label) == (0.0, "not toxic")
    assert dataclasses.replace(judge, threshold=0.0).score([attempt(text)])[0].value == 1.0


def test_a_long_text_is_read_whole_in_pieces_and_nothing_is_cut(root: Path) -> None:
    room = 38  # forty positions, two of them around a text
    classifier = Classifier(root / "many", "cpu")
    assert classifier.room == room
    sentences = ["kites are fun . ", "drums ! ", "x" * 100 + " ? ", "a broom\n", "end"]
    text = "".join(sentences)
    pieces = list(classifier.pieces(text))
    assert all(len(piece) <= room for piece in pieces)
    decoded = classifier._tokenizer.decode([i for piece in pieces for i in piece])
    assert decoded.replace(" ", "").replace("\n", "") == text.replace(" ", "").replace("\n", "")
    short = "a" * room
    assert [len(piece) for piece in classifier.pieces(short)] == [room]
    assert [len(piece) for piece in classifier.pieces(short + "b")] == [room, 1]


def test_pieces_are_joined_by_their_maximum_or_mean_for_each_label(root: Path) -> None:
    text = "kites are fun and so are drums . " * 4
    judge = Toxicity(str(root / "many"), labels=("insult",), threshold=None, device="cpu")
    classifier = Classifier(root / "many", "cpu")
    parts = [classifier._tokenizer.decode(piece) for piece in classifier.pieces(text)]
    assert len(parts) > 2
    alone = [reference(root / "many", part, "sigmoid")["insult"] for part in parts]
    (top,) = judge.score([attempt(text)])
    (mean,) = dataclasses.replace(judge, over="mean").score([attempt(text)])
    assert top.value == pytest.approx(max(alone), abs=1e-4)
    assert mean.value == pytest.approx(sum(alone) / len(alone), abs=1e-4)
    assert f"of {len(parts)} pieces" in top.reason


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text(max_size=400))
def test_no_text_is_too_odd(root: Path, text: str) -> None:
    judge = _kept(root)
    (score,) = judge.score([attempt(text)])
    assert (score.value is None) == (not text.strip())
    if score.value is None:
        assert "empty" in score.reason


def _kept(root: Path, found: dict[str, Any] = {}) -> Toxicity:  # noqa: B006  loaded once
    return found.setdefault("judge", Toxicity(str(root / "two"), threshold=None, device="cpu"))


def test_a_huge_reply_is_read_to_its_end(root: Path) -> None:
    judge = Toxicity(str(root / "two"), threshold=None, device="cpu")
    (score,) = judge.score([attempt("kite . " * 3000)])
    assert score.value is not None
    assert list(judge._classifier.pieces("." * 20_000))


def test_what_says_nothing_is_unjudged(root: Path) -> None:
    judge = Toxicity(str(root / "two"), device="cpu")
    asked = dataclasses.replace(judge, source="question")
    for reply in (Reply(""), Reply(" \n"), Reply(outcome="filtered"), Reply(outcome="blocked", text="no")):
        assert judge.score([attempt(reply)])[0].value is None
        assert asked.score([attempt(reply)])[0].value is not None
    for each in (judge, asked):
        (score,) = each.score([attempt(Reply.error("down"))])
        assert (score.value, score.reason) == (None, "the reply is an error")
    assert asked.score([attempt("fine", question=" ")])[0].reason == "the question has no text"
    assert judge.score([attempt(Reply("said", outcome="filtered"))])[0].value is not None


def test_the_question_is_that_of_the_sample_before_the_attack(root: Path) -> None:
    asked = Toxicity(str(root / "two"), source="question", threshold=None, device="cpu")
    judge = Toxicity(str(root / "two"), threshold=None, device="cpu")
    (of_question,) = asked.score([attempt("a reply", question="a kite .")])
    (of_reply,) = judge.score([attempt("a kite .")])
    assert of_question.value == pytest.approx(of_reply.value, abs=1e-6)


def test_graded_gives_the_probability_of_the_very_judge(root: Path) -> None:
    judge = Toxicity(str(root / "two"), device="cpu")
    graded = judge.graded()
    assert isinstance(graded, Toxicity)
    assert graded == dataclasses.replace(judge, threshold=None)
    assert graded.graded() == graded
    assert graded.score([attempt("a kite .")])[0].value == pytest.approx(
        reference(root / "two", "a kite .", "softmax")["LABEL_1"], abs=1e-4
    )


def test_labels_that_the_head_lacks_and_heads_that_need_names_are_errors(root: Path) -> None:
    with pytest.raises(UsageError, match=r"labels: .*many knows toxicity, .*, found rude"):
        Toxicity(str(root / "many"), labels=("rude",), device="cpu").score([attempt("x")])
    with pytest.raises(UsageError, match="tells 3 classes apart; name the toxic ones"):
        Toxicity(str(root / "three"), device="cpu").score([attempt("x")])


def test_only_whole_safetensors_of_a_classifier_are_used(root: Path, tmp_path: Path) -> None:
    folder = tiny(tmp_path / "copy")
    before = Toxicity(str(folder), device="cpu").key
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "architectures": ["BertModel"]}))
    with pytest.raises(UsageError, match="expected a \\.\\.\\.ForSequenceClassification, found 'BertModel'"):
        Toxicity(str(folder), device="cpu").score([attempt("x")])
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(UsageError, match=r"promises 3 layers|lack"):
        Toxicity(str(folder), device="cpu").score([attempt("x")])
    (folder / "config.json").write_text(json.dumps({**config, "num_attention_heads": 2}))
    assert Toxicity(str(folder), device="cpu").key != before
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(UnsafeWeights):
        _ = Toxicity(str(folder), device="cpu").key


def test_a_classifier_without_numbers_is_no_verdict(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Classifier, "chances", lambda *_: iter([[0.5, float("nan")]]))
    (score,) = Toxicity(str(root / "two"), device="cpu").score([attempt("x")])
    assert score.value is None
    assert "gave no probability" in score.reason


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("toxicity", {"threshold": None, "source": "reply"}),
        ("input-toxicity", {"threshold": None, "source": "question"}),
        ("toxic-bert", {"model": "unitary/toxic-bert", "activation": "sigmoid", "labels": (), "threshold": 0.5}),
        ("unbiased-toxic-roberta", {"labels": DETOXIFY[:7], "activation": "sigmoid"}),
        ("multilingual-toxic-xlm-roberta", {"labels": DETOXIFY[:7], "activation": "sigmoid"}),
        ("granite-guardian-hap", {"activation": "softmax", "labels": ()}),
    ],
)
def test_registered_names_hold_what_each_model_card_says(name: str, fields: dict[str, Any]) -> None:
    judge = build("judges", name)  # nothing is loaded
    assert isinstance(judge, Toxicity)
    assert {field: getattr(judge, field) for field in fields} == fields
    assert entry("judges", name).target.endswith(":Toxicity")


@pytest.mark.parametrize("device", ["tpu", "", "CUDA", "cuda:", "cuda:-1", "cuda:x", "cpu ", "cuda:٣"])
def test_what_names_no_device_is_refused_when_the_judge_is_built(root: Path, device: str) -> None:
    with pytest.raises(ValueError, match=f"device: expected auto, cpu, mps, cuda or cuda:NUMBER, found {device!r}"):
        Toxicity(str(root / "two"), device=device)


def test_a_device_that_is_not_there_is_one_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UsageError, match="device: expected a GPU that is there, found 'cuda': PyTorch finds none"):
        Toxicity(str(root / "two"), device="cuda").score([attempt("a kite .")])
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    with pytest.raises(UsageError, match="found 'cuda:1': this machine has 1, counted from 0"):
        Toxicity(str(root / "two"), device="cuda:1").score([attempt("a kite .")])
    assert (placed("cuda"), placed("cuda:0"), placed("auto"), placed("cpu")) == ("cuda", "cuda:0", "cuda", "cpu")
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    with pytest.raises(UsageError, match="found 'mps'"):
        placed("mps")
