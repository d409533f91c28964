"""PGD, APGD, Square and black-box PGD within a budget: none is passed, and their schedules fit into it."""

from __future__ import annotations

import pytest
import torch

from attacks.image_toys import apgd_toy, craft
from proofglass.types import Budget
from scripted_victims import Scripted, asked, grey


def spent(artefact):
    return artefact.cost.forward + 2 * artefact.cost.backward + artefact.cost.queries


@pytest.mark.parametrize("budget", [1, 4, 7, 50, 64, 150])
@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("pgd", {"select": "best"}),
        ("pgd", {"select": "last"}),
        ("pgd", {"restarts": 3, "steps": 5}),
        ("apgd", {}),
        ("apgd", {"restarts": 3}),
        ("square", {}),
        ("black-box-pgd", {"draws": 3, "kind": "rgf"}),
        ("random-noise", {"tries": 1000}),
    ],
)
def test_no_budget_is_passed_and_most_of_it_is_used(name, parameters, budget):
    victim = Scripted(lambda x, names: ((x - 0.4) ** 2).flatten(1).sum(1))
    (found,) = craft(name, victim, budget=Budget(budget), **parameters)
    assert spent(found) <= budget
    planned = 15 * 3 + 3 if parameters.get("steps") else 10_000
    restarts = parameters.get("restarts", 1)
    assert spent(found) > min(budget, planned) - 8 * restarts


def test_a_budget_shortens_apgds_schedule_so_that_its_checks_still_come():
    # 61 forward equivalents pay 20 steps and the look at the last iterate: the run must be that of steps=20
    long, short = apgd_toy(), apgd_toy()
    craft("apgd", long, epsilon=0.1, steps=1000, init="clean", budget=Budget(61))
    craft("apgd", short, epsilon=0.1, steps=20, init="clean")
    assert len(long.seen) == len(short.seen)
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(long.seen, short.seen, strict=True))


def test_a_budget_shortens_pgds_cosine_so_that_its_small_steps_still_come():
    long, short = apgd_toy(), apgd_toy()
    craft("pgd", long, epsilon=0.1, steps=1000, decay="cosine", init="clean", budget=Budget(61))
    craft("pgd", short, epsilon=0.1, steps=20, decay="cosine", init="clean")
    assert len(long.seen) == len(short.seen)
    assert all(torch.equal(a, b) for (a, _), (b, _) in zip(long.seen, short.seen, strict=True))


def test_a_budget_shortens_squares_schedule_so_that_its_squares_still_shrink():
    runs = []
    for steps, budget in ((5000, Budget(41)), (5000, Budget(41, "queries")), (40, None)):
        victim = Scripted(lambda x, names: x.flatten(1).sum(1), image_size=(8, 8))
        (found,) = craft("square", victim, asked(image=grey(side=8)), budget=budget, steps=steps)
        runs.append(found.images[0])
    assert runs[0] == runs[1] == runs[2]


def test_a_budget_in_seconds_ends_the_search_and_says_so():
    victim = Scripted(lambda x, names: x.flatten(1).sum(1))
    (found,) = craft("square", victim, budget=Budget(0.2, "seconds"), steps=1_000_000)
    assert "budget of 0.2 s" in found.trace["stopped"]
    assert found.trace["steps"] < 1_000_000
