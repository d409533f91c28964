"""BLEU-4 and CIDEr-D over the rows of a run: which rows count, and what the interval draws."""

from __future__ import annotations

import math

import polars as pl
import pytest
import sacrebleu
from pycocoevalcap.cider.cider import Cider
from sacrebleu import corpus_bleu

from evaluation.similarity.golden import REFERENCES, SAID
from proofglass.evaluation.metrics.texts import texts_of
from proofglass.registry import build
from proofglass.testing import measuring

NAMES = ("bleu-4", "cider-d")


def rows(*given, **common):
    """Rows of one cell: (reply, references), further fields as a dict."""
    found = []
    for k, (reply, references, *more) in enumerate(given):
        row = {"victim": "v", "attack": "a", "defense": "none", "dataset": "d", "expected": "describe", "cell": "c"}
        row |= {"sample_id": f"s{k}", "cluster": f"q{k}", "outcome": "ok", "finish": "stop", "reply": reply}
        found.append(row | {"references": references} | common | (more[0] if more else {}))
    schema = dict.fromkeys(found[0], pl.String) | {"references": pl.List(pl.String)}
    return pl.DataFrame(found, schema=schema)


GOLDEN = list(zip(SAID, map(list, REFERENCES), strict=True))
MANY = [(f"{said} {k % 5}", wanted) for k in range(6) for said, wanted in GOLDEN]


def test_the_golden_set() -> None:
    bleu, cider = (build("metrics", name).over(rows(*GOLDEN)) for name in NAMES)
    assert (bleu.value, bleu.n) == (pytest.approx(0.85152510, abs=1e-8), 3)
    assert (cider.value, cider.n) == (pytest.approx(4.889718, abs=1e-6), 3)
    assert bleu.reason == f"nrefs:var|case:mixed|eff:no|tok:13a|smooth:exp|version:{sacrebleu.__version__}"
    coco = build("metrics", "bleu-4", variant="coco").over(rows(*GOLDEN))
    assert (coco.value, coco.reason) == (pytest.approx(0.851525, abs=1e-6), "coco")


def test_a_metric_is_its_reference_on_the_texts_that_count() -> None:
    said, wanted = [reply for reply, _ in MANY], [references for _, references in MANY]
    streams = [[each[k] for each in wanted] for k in range(2)]
    assert build("metrics", "bleu-4").over(rows(*MANY)).value == pytest.approx(corpus_bleu(said, streams).score / 100)
    gts, res = dict(enumerate(wanted)), {k: [text] for k, text in enumerate(said)}
    assert build("metrics", "cider-d").over(rows(*MANY)).value == pytest.approx(Cider().compute_score(gts, res)[0])


@pytest.mark.parametrize("name", NAMES)
def test_failed_rows_are_left_out_and_withheld_ones_are_empty(name: str) -> None:
    metric, (last_reply, last) = build("metrics", name), GOLDEN[-1]
    whole = metric.over(rows(*GOLDEN))

    def with_one(reply, references=last, **more):
        return metric.over(rows(*GOLDEN, (reply, references, more)))

    for left_out in (
        with_one("", outcome="error"),
        with_one("  ", finish="length"),  # cut off before it said a word
        with_one(last_reply, []),
        with_one(last_reply, None),
        with_one(last_reply, [" . ", ""]),
    ):
        assert (left_out.value, left_out.n) == (whole.value, 3)
    empty = with_one("")
    assert (empty.n, empty.value < whole.value) == (4, True)
    for outcome in ("blocked", "filtered", "refused"):
        assert with_one("", outcome=outcome) == empty
    assert with_one("what a defense held back", outcome="blocked") == empty
    assert with_one(last_reply, outcome="filtered").value == with_one(last_reply).value  # a part got through


@pytest.mark.parametrize("name", NAMES)
def test_the_interval_draws_clusters_and_holds_the_value(name: str) -> None:
    metric = build("metrics", name)
    found = metric.over(rows(*MANY))
    assert found.low <= found.value <= found.high
    assert found.low < found.high
    one = metric.over(rows(*MANY, cluster="q"))
    assert (one.value, one.low, one.high) == (found.value, None, None)
    # The same rows three times over as the same questions: no narrower.
    copies = pl.concat([rows(*MANY, cell=f"c{k}") for k in range(3)])
    assert name == "cider-d" or metric.over(copies).high == pytest.approx(found.high)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("promise", [
    measuring.groups_by_what_it_says, measuring.stays_in_its_range, measuring.order_of_rows_changes_nothing,
    measuring.says_why_where_nothing_is,
])  # fmt: skip
def test_every_promise_of_a_metric_holds_on_rows_with_texts(name: str, promise) -> None:
    cells = [rows(*MANY, attack=attack, cell=attack) for attack in ("a", "b")]
    promise(build("metrics", name), pl.concat(cells))


@pytest.mark.parametrize("name", NAMES)
def test_nothing_to_count_has_a_reason(name: str) -> None:
    metric = build("metrics", name)
    assert metric.over(rows(*GOLDEN).clear()).reason == "no row was answered"
    assert metric.over(rows(*GOLDEN, outcome="error")).reason == "no row was answered"
    assert metric.over(rows(("kite", []))).reason == "no row has a reference"


def test_cider_without_weights_is_none() -> None:
    metric = build("metrics", "cider-d")
    assert metric.over(rows(GOLDEN[0])).reason.endswith("and there is one row")
    assert metric.over(rows(*[("a kite", ["a kite"])] * 3)).reason.endswith("hold the same words")


def test_perfect_replies_reach_the_end_of_the_range() -> None:
    perfect = [(wanted[0], wanted[:1]) for _, wanted in GOLDEN]
    assert build("metrics", "bleu-4").over(rows(*perfect)).value == pytest.approx(1)
    assert build("metrics", "cider-d").over(rows(*perfect)).value == pytest.approx(10)
    assert all(math.isfinite(build("metrics", name).over(rows(*perfect)).value) for name in NAMES)


def test_parameters_of_the_other_variant_are_refused() -> None:
    with pytest.raises(ValueError, match="tokenize, lowercase: of variant 'sacrebleu'"):
        build("metrics", "bleu-4", variant="coco", lowercase=True)
    with pytest.raises(ValueError, match="tokenize: expected"):
        build("metrics", "bleu-4", tokenize="spm")
    chinese = [("猫在车上睡觉", ["猫在车上睡觉了"]), ("狗", ["狗"])]
    assert build("metrics", "bleu-4").over(rows(*chinese)).value == 0
    assert build("metrics", "bleu-4", tokenize="zh").over(rows(*chinese)).value > 0.5


def test_a_reference_of_marks_alone_counts_beside_one_with_words_and_a_blank_one_never() -> None:
    found = texts_of(rows(("a red kite .", ["...", " ", "", "a red kite over there ."])))
    assert found.references == [["...", "a red kite over there ."]]
    assert texts_of(rows(("a red kite .", ["...", " "]))).missing
    said, wanted = "a red kite there .", ["... . . .", "a red kite there over the big hill ."]
    theirs = corpus_bleu([said], [[one] for one in wanted]).score / 100
    assert build("metrics", "bleu-4").over(rows((said, wanted))).value == pytest.approx(theirs)
