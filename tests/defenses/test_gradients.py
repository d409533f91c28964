"""Every defense that opens itself: the gradients of its view are the slopes of its values, port by port.

In float64, along random directions: a lens that gives a part of the picture no gradient, or that takes its loss of one
draw and its gradient of another, differs there by more than rounding. Beside what strangers' defenses are held to
(`proofglass.testing.opened`): several pairs a picture, features, layers and the text side.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch

from conformance.fixtures import Bench, make_bench, names
from defenses.every_opened import GATES_ALONE, OPENED, built, view_of
from proofglass.engine.seeds import drawing
from proofglass.errors import ClosedVictim
from proofglass.evaluation.datasets.testbed import TestbedData
from proofglass.interfaces import WhiteBoxVictim, opened_through
from proofglass.testing import opened
from proofglass.testing.opened import is_the_slope
from proofglass.types import Sample
from proofglass.victims.hf_folder import HF
from proofglass.victims.testbed import TestbedVictim

EXACTLY = {"within": 0.01, "rounded": 1e-8}  # float32 pictures, float64 model; in float32 0.1 and 2e-6


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return make_bench(tmp_path_factory.mktemp("bench"), "http://127.0.0.1:9")


@pytest.fixture(scope="module")
def exact() -> HF:
    """The victim that the bench's defenses are fitted on, in float64."""
    return HF(TestbedVictim("testbed-linear").folder, device="cpu", dtype="float64")


@pytest.fixture(scope="module")
def pairs() -> list[list[tuple[Any, str]]]:
    """Two pictures with a sealed request and a harmless one each."""
    found = []
    for one, other in zip(*(list(TestbedData(part=part, n=2)) for part in ("restricted-image", "benign-image"))):  # noqa: B905
        assert isinstance(one, Sample)
        assert isinstance(other, Sample)
        harmless = other.chat.with_image(one.chat.images[0])
        found.append([(one.chat, "sorry , no ."), (harmless, "never ask again .")])
    return found


def pixels(exact: HF, pairs: list[list[tuple[Any, str]]]) -> torch.Tensor:
    return torch.cat([exact.pixels(row[0][0].images[0]) for row in pairs]).clamp(0.1, 0.9)


@pytest.mark.parametrize("name", names("defenses"))
def test_what_opens_itself_is_looked_at_here(bench: Bench, exact: HF, name: str) -> None:
    defense = built(bench, name)
    if defense.needs_model == "weights" or defense.stands_for is not defense:
        return  # a model of weights of its own (tests/defenses/training), or another defense
    is_open = opened_through(defense, exact) is not None
    assert is_open == (name in OPENED), f"{name} opens itself: add it to OPENED, set so that it acts"


@pytest.mark.parametrize("name", OPENED)
def test_losses_and_gradients_through_it_agree(bench: Bench, exact: HF, pairs: Any, name: str) -> None:
    view, x = view_of(built(bench, name), exact), pixels(exact, pairs)
    prepared = view.prepare(pairs)
    with drawing([3, 4], 1):
        found = view.loss_and_grad(x, prepared)
        bare = exact.loss_and_grad(x, exact.prepare(pairs), need_grad=False).loss
        assert torch.allclose(found.loss.double(), bare) == (name in GATES_ALONE), "set it so that it acts"
        if not _straight(view):
            # The losses of logits, which come out in float32, are rounded more coarsely.
            rounded = EXACTLY["rounded"] if found.loss.dtype == torch.float64 else 1e-6
            is_the_slope(
                lambda y: view.loss_and_grad(y, prepared, need_grad=False).loss,
                x, found.pixels, "the loss", within=0.01, rounded=rounded,
            )  # fmt: skip


@pytest.mark.parametrize("name", OPENED)
def test_what_passes_straight_through_and_gates_are_as_strangers_are_held_to(
    bench: Bench, exact: HF, pairs: Any, name: str
) -> None:
    defense, ((chat, target), _) = built(bench, name), pairs[0]
    opened.passes_gradients_straight_through(defense, exact, chat.images[0], chat, target)
    opened.margins_are_of_its_gates(defense, exact, chat.images[0], chat)


@pytest.mark.parametrize("name", OPENED)
def test_margins_and_their_gradients_agree(bench: Bench, exact: HF, pairs: Any, name: str) -> None:
    view, x = view_of(built(bench, name), exact), pixels(exact, pairs)
    if not view.gated:
        pytest.skip("no gate")
    for k in range(2):
        chats = [row[k][0] for row in pairs]
        margin, grad = view.margin_and_grad(x, chats)
        assert margin.isfinite().all()
        assert grad.flatten(1).any(1).all()
        # The two shields of the bench are opposite: where both are as near, the margin has a kink.
        rows = [b for b in range(2) if name != "adashield" or margin[b] > 0.01]
        assert rows
        shown = [chats[b] for b in rows]
        is_the_slope(
            lambda y, shown=shown: view.margin_and_grad(y, shown)[0], x[rows], grad[rows], "the margin", rounded=1e-6
        )


@pytest.mark.parametrize("name", OPENED)
def test_features_and_layers_through_it_agree_with_their_gradients(
    bench: Bench, exact: HF, pairs: Any, name: str
) -> None:
    view, x = view_of(built(bench, name), exact), pixels(exact, pairs)
    if _straight(view):
        pytest.skip("its gradient is the model's own, no slope")
    prepared, draws = view.prepare(pairs), torch.Generator().manual_seed(1)
    along = torch.randn(4, 2, exact.embedding_width, generator=draws, dtype=torch.float64)

    def energy(features: torch.Tensor) -> torch.Tensor:
        return (features**2).flatten(1).sum(1)

    def states(y: torch.Tensor) -> torch.Tensor:
        return (view.prompt_states(y, prepared, [1, 2])[0] * along).sum((1, 2)).reshape(2, 2).sum(1)

    with drawing([3, 4], 1):
        grad = view.features_and_grad(x, energy)[1]
        is_the_slope(lambda y: view.features_and_grad(y, energy)[0], x, grad, "what features say", **EXACTLY)
        grad = view.prompt_states(x, prepared, [1, 2], along=along)[1]
        is_the_slope(states, x, grad, "the layers", within=0.01, rounded=1e-6)


@pytest.mark.parametrize("name", OPENED)
def test_the_text_side_through_it_agrees_with_its_gradient(bench: Bench, exact: HF, pairs: Any, name: str) -> None:
    view, x = view_of(built(bench, name), exact), pixels(exact, pairs)
    prepared, draws = view.prepare([row[:1] for row in pairs]), torch.Generator().manual_seed(2)
    text = [[0.01 * torch.randn(n, exact.embedding_width, generator=draws) for n in row] for row in _tokens(prepared)]
    with drawing([3, 4], 1):
        if name == "coca":
            with pytest.raises(ClosedVictim, match="gives no gradient to text"):
                view.loss_and_grad(x, prepared, text=text)
            return
        found = view.loss_and_grad(x, prepared, text=text).text
        assert found is not None
        for b, row in enumerate(found):
            # Embeddings are short: a nudge of a picture's size bends the loss by some percent.
            is_the_slope(partial(_with_text, view, x, prepared, text, b), text[b][0][None], row[0][None], "the loss",
                         within=0.05, rounded=1e-8)  # fmt: skip


def _tokens(prepared: Any) -> Any:
    return prepared.text_tokens


def _with_text(
    view: WhiteBoxVictim, x: torch.Tensor, prepared: Any, text: Any, b: int, one: torch.Tensor
) -> torch.Tensor:
    """The loss of picture b with another perturbation of its text."""
    changed = [[one[0]] if k == b else row for k, row in enumerate(text)]
    return view.loss_and_grad(x, prepared, need_grad=False, text=changed).loss[b : b + 1]


def _straight(view: Any) -> bool:
    return bool(view.lens.straight_through) if hasattr(view, "lens") else False


def test_a_defense_that_is_missing_is_named(bench: Bench, exact: HF, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(OPENED, "blur")
    with pytest.raises(AssertionError, match="blur opens itself: add it to OPENED"):
        test_what_opens_itself_is_looked_at_here(bench, exact, "blur")


def test_settings_that_do_nothing_are_found(
    bench: Bench, exact: HF, pairs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(OPENED, "blur", {"sigma": 0.0})
    with pytest.raises(AssertionError, match="set it so that it acts"):
        test_losses_and_gradients_through_it_agree(bench, exact, pairs, "blur")
