"""A search that died goes on from its checkpoint, bit for bit, and nothing of another search is ever taken up."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from proofglass.engine import Check, LInf, Schedule, SignStep, Weighted, minimise
from proofglass.engine.checkpoints import Slot, kept_in
from proofglass.types import Budget
from toy_objectives import EVERY_RULE, Killed, Recorded, Remembering, pictures, quadratic

RUN = {"constraint": LInf(0.1), "schedule": Schedule(7, restarts=2), "seed": 3, "select": "best"}


def search(objective, x0, **changed):
    return minimise(objective, x0, **{**RUN, "step": SignStep(0.02), **changed})


def same(one, other):
    """Everything that a search reports, the wall time apart."""
    for field in dataclasses.fields(one):
        a, b = getattr(one, field.name), getattr(other, field.name)
        if isinstance(a, dict):
            assert a.keys() == b.keys(), field.name
            assert all(torch.equal(a[name], b[name]) for name in a), field.name
        elif isinstance(a, torch.Tensor):
            assert torch.equal(a, b), field.name
        elif field.name != "seconds":
            assert a == b, field.name


def killed_and_resumed(folder, make, at, every=2, **changed):
    """The result of a search that dies at its call `at` and is started again; and the calls that this took."""
    dying = Recorded(make(), fails_at=at)
    with pytest.raises(Killed), kept_in(folder, every):
        search(dying, pictures(1, 3), **changed)
    again = Recorded(make())
    with kept_in(folder, every):
        return search(again, pictures(1, 3), **changed), again


@pytest.mark.parametrize("rule", EVERY_RULE)
def test_a_search_killed_at_any_step_ends_in_the_same_picture(rule, tmp_path):
    step = EVERY_RULE[rule]()
    whole = search(quadratic(pictures(2, 3)), pictures(1, 3), step=step)
    for at in (1, 2, 5, 7, 8, 13):
        found, again = killed_and_resumed(tmp_path / str(at), lambda: quadratic(pictures(2, 3)), at, step=step)
        same(whole, found)
        # a checkpoint every 2 steps (and none at the end of a restart): at most the steps behind it are redone
        assert len(again.calls) <= 14 - at + 2


def test_the_second_player_of_an_objective_goes_on_too(tmp_path):
    for k, make in enumerate(
        (lambda: Remembering(pictures(2, 3)), lambda: Weighted([(2.0, Remembering(pictures(2, 3)))]))
    ):
        whole = search(make(), pictures(1, 3))
        for at in (1, 2, 3, 6, 7, 8, 13):
            found, _ = killed_and_resumed(tmp_path / f"{k} {at}", make, at)
            same(whole, found)


def test_a_restart_begins_with_a_fresh_second_player():
    # Restart 2 of a whole batch, and of the one picture that is left, begin where a first run begins.
    x0, t = pictures(1, 3), pictures(2, 3)
    seen = Recorded(Remembering(t))
    search(seen, x0, schedule=Schedule(4, restarts=2), constraint=LInf(0.1, "clean"))
    assert all(torch.equal(a, b) for a, b in zip(seen.seen[:4], seen.seen[4:], strict=True))
    one = search(Remembering(t[:1]), x0[:1], seed=[5])
    batch = search(Remembering(t), x0, seed=[5, 6, 7])
    assert torch.equal(batch.x[0], one.x[0])
    assert batch.losses[0] == one.losses[0]


def test_a_check_that_ends_pictures_early_is_taken_up_where_it_was(tmp_path):
    def brightness(images, rows):
        return [float(image.array().mean() > 131) for image in images]

    changed = {"check": Check(2, brightness), "select": "last", "step": SignStep(0.01)}
    make = lambda: quadratic(torch.tensor([0.9, 0.55, 0.1])[:, None, None, None].expand(3, 3, 6, 6))  # noqa: E731
    grey = torch.full((3, 3, 6, 6), 0.5)
    whole = minimise(make(), grey, **{**RUN, "constraint": LInf(0.1, "clean"), **changed})
    assert whole.succeeded == [True, True, False]
    assert whole.steps[0] < whole.steps[2]
    for at in (1, 2, 4, 5, 7, 9, 11):
        with pytest.raises(Killed), kept_in(tmp_path / str(at), 1):
            minimise(Recorded(make(), fails_at=at), grey, **{**RUN, "constraint": LInf(0.1, "clean"), **changed})
        with kept_in(tmp_path / str(at), 1):
            same(whole, minimise(make(), grey, **{**RUN, "constraint": LInf(0.1, "clean"), **changed}))


def test_a_budget_holds_over_a_resume(tmp_path):
    changed = {"budget": Budget(25), "schedule": Schedule(12)}  # pays 8 steps and the look at the last iterate
    for at in (1, 4, 7):
        found, again = killed_and_resumed(tmp_path / str(at), lambda: quadratic(pictures(2, 3)), at, 1, **changed)
        assert all(cost.forward + 2 * cost.backward <= 25 for cost in found.costs)
        assert found.steps == [8, 8, 8]
        assert len(again.calls) == 8 - at


def test_seconds_spent_before_a_kill_count_after_it(tmp_path):
    changed = {"schedule": Schedule(10**6), "budget": Budget(0.3, "seconds")}
    with kept_in(tmp_path, 1):
        first = search(quadratic(pictures(2)), pictures(1), **changed)
    assert 0.3 <= first.seconds < 3
    with kept_in(tmp_path, 1):
        again = search(quadratic(pictures(2)), pictures(1), **changed)
    assert again.steps == first.steps
    assert again.seconds >= 0.3


def test_what_is_left_of_seconds_after_a_first_phase_is_never_the_same_and_yet_the_search_goes_on(tmp_path):
    with pytest.raises(Killed), kept_in(tmp_path, 2):
        search(Recorded(quadratic(pictures(2)), fails_at=9), pictures(1), budget=Budget(59.9, "seconds"))
    again = Recorded(quadratic(pictures(2)))
    with kept_in(tmp_path, 2):
        search(again, pictures(1), budget=Budget(59.8, "seconds"))
    assert len(again.calls) == 14 - 9


def test_a_finished_search_is_replayed_without_a_step(tmp_path):
    results = []
    for _ in range(2):
        f = Recorded(quadratic(pictures(2, 3)))
        with kept_in(tmp_path):
            results.append((search(f, pictures(1, 3)), len(f.calls)))
    assert [calls for _, calls in results] == [14, 0]
    same(results[0][0], results[1][0])


def test_calls_in_one_craft_have_a_file_each(tmp_path):
    def craft():
        f = [Recorded(quadratic(pictures(2))), Recorded(quadratic(pictures(9)))]
        with kept_in(tmp_path):
            return [search(each, pictures(1)).x for each in f], [len(each.calls) for each in f]

    first, calls = craft()
    assert calls == [14, 14]
    again, calls = craft()
    assert calls == [0, 0]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["00001.safetensors", "00002.safetensors"]


@pytest.mark.parametrize("damage", [b"", b"no tensors here", None])
def test_a_damaged_file_is_ignored(tmp_path, damage):
    whole = search(quadratic(pictures(2)), pictures(1))
    with kept_in(tmp_path):
        search(quadratic(pictures(2)), pictures(1))
    (file,) = tmp_path.iterdir()
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2] if damage is None else damage)
    f = Recorded(quadratic(pictures(2)))
    with kept_in(tmp_path):
        same(whole, search(f, pictures(1)))
    assert len(f.calls) == 14


@pytest.mark.parametrize(
    "changed",
    [
        {"constraint": LInf(0.05)},
        {"step": SignStep(0.03)},
        {"schedule": Schedule(6, restarts=2)},
        {"seed": 4},
        {"budget": Budget(1000)},
        {"select": "last"},
        {"check": Check(3, lambda images, rows: [0.0] * len(rows))},
        {"start": pictures(8)},
        {"x0": pictures(8)},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_the_checkpoint_of_another_search_is_ignored(tmp_path, changed):
    x0 = changed.pop("x0", pictures(1)) if "x0" in changed else pictures(1)
    with kept_in(tmp_path):
        search(quadratic(pictures(2)), pictures(1))
    f = Recorded(quadratic(pictures(2)))
    with kept_in(tmp_path):
        found = search(f, x0, **changed)
    assert f.calls
    same(search(quadratic(pictures(2)), x0, **changed), found)


def test_outside_of_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    search(quadratic(pictures(2)), pictures(1))
    assert not list(tmp_path.iterdir())


def test_no_draft_is_left_behind(tmp_path):
    with kept_in(tmp_path, 1):
        search(quadratic(pictures(2)), pictures(1))
    assert [p.suffix for p in tmp_path.iterdir()] == [".safetensors"]


def test_a_period_of_no_steps_is_refused(tmp_path):
    with pytest.raises(ValueError, match="every"), kept_in(tmp_path, 0):
        pass


def test_a_checkpoint_with_any_byte_changed_is_itself_or_ignored(tmp_path):
    # A tensor's byte, its type, its place in the file, a number of the facts: none may become another picture.
    slot = Slot(tmp_path / "1.safetensors", 1, "of this run")
    tensors, facts = {"x": pictures(1)[:, :, :2, :2], "rows": torch.tensor(3)}, {"step": 25, "losses": [0.5]}
    slot.save(tensors, facts)
    whole = slot.file.read_bytes()
    for at in range(len(whole)):
        slot.file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        found = slot.load()
        if found is not None:  # a space of the header
            assert found[1] == facts
            assert all(torch.equal(found[0][name], tensors[name]) for name in tensors)
    slot.file.write_bytes(whole)
    assert slot.load() is not None
