"""The report says where a gradient may have misled an attack."""

from __future__ import annotations

import pytest

from proofglass.report import write
from proofglass.report.run import ReportedRun
from proofglass.report.sanity import sanity


def replies(hits, n=20):
    return [{"hit": float(k < hits), "answered": float(k < hits)} for k in range(n)]


def craft(opens="gradients", **trace):
    healthy = {"loss": [2.0, 0.5], "loss_before_rounding": 0.4, "zero_gradient_share": 0.0, "nonfinite_steps": 0}
    spent = {"forward": 20, "backward": 20 if opens == "gradients" else 0, "queries": 0, "artefacts": 20}
    return {**spent, "opens": opens, "scope": "sample", "artefact": opens, "trace": healthy | trace}


def test_a_healthy_run_hints_at_nothing(store):
    store.add(replies(12), attack="pgd", craft=craft())
    store.add(replies(1), attack="square", craft=craft("scores"))
    assert sanity(ReportedRun(store)) == []
    assert "Nothing in the traces or rates" in write(store).read_text()


@pytest.mark.parametrize(
    ("trace", "told"),
    [
        ({"zero_gradient_share": 0.2}, "20 % of the first gradient is exactly zero"),
        ({"nonfinite_steps": 3}, "not finite"),
        ({"loss": [2.0, 2.0], "loss_before_rounding": 2.0}, "did not move"),
        ({"gradient_path": "vision: prefix: disagrees with the plain loop, loss 3e-1"}, "fast gradient was refused"),
    ],
)
def test_each_symptom_in_a_trace_is_told(store, trace, told):
    store.add(replies(0), attack="pgd", craft=craft(**trace))
    (finding,) = sanity(ReportedRun(store))
    assert finding.startswith("pgd on v: ")
    assert told in finding.replace("\u00a0", " ")
    assert told in write(store).read_text().replace("\u00a0", " ")


def test_a_black_box_attack_ahead_of_every_white_box_one_is_called_gradient_masking(store):
    store.add(replies(2), attack="pgd", craft=craft())
    store.add(replies(9), attack="square", craft=craft("scores"))
    store.add(replies(20), attack="figstep")  # spends nothing: no search, no sign of masking
    (finding,) = sanity(ReportedRun(store))
    assert "gradient masking" in finding
    assert "square" in finding
    assert "figstep" not in finding
