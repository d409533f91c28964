"""Which checks a plug must pass, with something for each to work on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from proofglass.console import REASON, cut
from proofglass.faults import briefly, stops_the_run
from proofglass.interfaces import (
    Attack,
    Dataset,
    Defense,
    Detector,
    Encoder,
    Judge,
    Metric,
    Victim,
    WhiteBoxVictim,
    opened_through,
)
from proofglass.registry import build
from proofglass.testing import checks, measuring, on_disk, opened, white_box
from proofglass.testing.material import Scripted, asks, attempts, picture, samples
from proofglass.testing.variants import keyed, variants
from proofglass.types import Artefact, Ask, Chat, Finding, Sample, Settings

WHITE = "testbed-linear"  # the victim of attacks that look inside one
SIDE = 28  # px: of the picture shown to a victim that takes any


@dataclass(frozen=True)
class Case:
    """One check on one plug; calling it raises AssertionError if it fails. why_not: why it cannot be looked at."""

    name: str
    run: Callable[[], None] = field(repr=False)
    meaning: str = ""
    why_not: str = ""

    def __call__(self) -> None:
        self.run()

    def __str__(self) -> str:
        return self.name


def cases(make: Callable[[], Any], off: Mapping[str, Any] | None = None) -> list[Case]:
    """The checks of the plug that `make` builds, anew at every call. off: the fields that switch a defense off (None:
    it is not known how, and that check cannot be looked at).

    An attack that opens its victim is run on a victim of the testbed: give `make` few steps.
    """
    plug = make()
    found = [
        _case(checks.is_a_frozen_dataclass, plug),
        _case(checks.says_what_it_is, plug, needs_paper=False),
        _case(checks.key_is_stable, make),
        _of_key(plug),
        _case(checks.settings_build_it_again, plug),
        _case(checks.takes_strings_for_paths, plug),
        _case(on_disk.key_follows_its_files, plug),
    ]
    if isinstance(plug, Dataset):
        found += _of_dataset(plug)
    if isinstance(plug, Attack):
        found += _of_attack(plug)
    if isinstance(plug, Defense):
        found += _of_defense(plug, off)
    if isinstance(plug, Judge):
        found += _of_judge(plug)
    if isinstance(plug, Metric):
        found += _of_metric(plug)
    if isinstance(plug, Victim):
        found += _of_victim(plug)
    if isinstance(plug, (Encoder, Detector)):
        found.append(_case(checks.sees_pixels, plug, _pixels()))
    return found


def check(make: Callable[[], Any], off: Mapping[str, Any] | None = None) -> list[Finding]:
    """Run the checks of the plug that `make` builds. Returns what was found, also what could not be looked at (`ok` is
    None). make, off: as for `cases`. Raises AssertionError that names every check which failed, and why."""
    found = list(findings(cases(make, off)))
    if failed := [f"{each.check}: {each.measured}" for each in found if each.ok is False]:
        raise AssertionError(f"{len(failed)} of {len(found)} checks failed:\n" + "\n".join(failed))
    return found


def findings(every: list[Case]) -> Iterator[Finding]:
    """What each check found, one after the other. `ok` is None where it could not be looked at.

    A plug may raise anything, and that is a check that failed; Ctrl-C and a fault of the machine go on up.
    """
    for case in every:
        if case.why_not:
            yield Finding(case.name, None, case.why_not, case.meaning)
            continue
        try:
            case()
        except BaseException as error:
            if stops_the_run(error):
                raise
            why = str(error) if isinstance(error, AssertionError) and str(error) else briefly(error)
            reason = cut(why, REASON, where="what the plug gave")
            yield Finding(case.name, False, reason, case.meaning)
        else:
            yield Finding(case.name, True, "", "")


def _case(check: Callable[..., None], *given: Any, **named: Any) -> Case:
    meaning = " ".join((check.__doc__ or "").split("\n\n")[0].split())
    return Case(check.__name__.replace("_", " "), partial(check, *given, **named), meaning)


def _of_key(plug: Any) -> Case:
    found = _case(checks.key_holds_every_parameter, plug)
    try:
        blind = bool(keyed(plug)) and next(variants(plug), None) is None
    except Exception as error:
        if stops_the_run(error):
            raise
        return found  # the check itself tells what its key raises
    return dataclasses.replace(found, why_not="no other value of a field could be guessed") if blind else found


def _of_dataset(data: Dataset) -> list[Case]:
    each = (checks.ids_are_unique, checks.iterates_alike_twice, checks.crafting_is_disjoint, checks.samples_are_whole)
    return [_case(check, data) for check in (*each, on_disk.refuses_pictures_outside)]


def _of_judge(judge: Judge) -> list[Case]:
    return [
        _case(checks.scores_every_attempt, judge, attempts()),
        _each(checks.never_judges_an_error, judge, attempts()),
    ]


def _of_metric(metric: Metric) -> list[Case]:
    each = (
        measuring.groups_by_what_it_says,
        measuring.stays_in_its_range,
        measuring.order_of_rows_changes_nothing,
        measuring.says_why_where_nothing_is,
        measuring.groups_are_counted_alone,
    )
    found = []
    for check in each:
        # The rows are made when a check asks for them: `needs` is foreign code, too.
        case = _case(check, metric)
        found.append(dataclasses.replace(case, run=partial(_on_rows, check, metric)))
    return found


def _on_rows(check: Callable[..., None], metric: Metric) -> None:
    check(metric, measuring.scored(metric))


def _of_defense(defense: Defense, off: Mapping[str, Any] | None) -> list[Case]:
    system = Ask(Chat.user(picture(1), "what is it ?").with_system("be brief"), Settings(5, draw=1))
    shown = [*asks(), system]
    identity = Case(
        "disabled is the identity",
        lambda: None,
        why_not="not looked at: say which fields switch it off (--off rounds=0)",
    )
    if off is not None:
        identity = _each(checks.disabled_is_the_identity, dataclasses.replace(defense, **off), shown)  # type: ignore[type-var]
    return [
        _each(checks.never_changes_its_ask, defense, shown),
        _each(checks.passes_errors_on, defense, shown),
        identity,
        _case(checks.acts_inside, defense, build("victims", WHITE, device="cpu"), asks())
        if defense.needs_model
        else _case(checks.wraps_a_victim, defense, Scripted(), asks()),
        *_of_opened(defense),
    ]


def _of_opened(defense: Defense) -> list[Case]:
    """What an attacker sees who looks through it; not looked at where it stays closed."""
    model: WhiteBoxVictim = build("victims", WHITE, device="cpu")
    shown, chat = picture(1, 96), asks()[0].chat
    found = [
        _case(opened.answers_as_it_defends, defense, model, [Ask(chat.with_image(shown), Settings(5)), *asks()]),
        _case(opened.shows_what_reaches_the_model, defense, model, chat.with_image(shown), "sure , here is how"),
        _case(opened.gradients_lead_through_it, defense, model, shown, chat, "sorry , no ."),
        _case(opened.passes_gradients_straight_through, defense, model, shown, chat, "sorry , no ."),
        _case(opened.margins_are_of_its_gates, defense, model, shown, chat),
    ]
    if opened_through(defense, model) is None:
        found = [
            dataclasses.replace(case, why_not="it stays closed: attacks are crafted on the bare model")
            for case in found
        ]
    return found


def _of_victim(victim: Victim) -> list[Case]:
    ask = asks()[0]
    found = [
        _case(checks.has_a_card, victim),
        _case(checks.replies_in_order, victim, asks()),
        _case(checks.isolates_a_bad_ask, victim, ask),
        _case(checks.answers_alike_twice, victim, ask),
        _case(checks.keeps_the_token_limit, victim, ask),
    ]
    if isinstance(victim, WhiteBoxVictim):
        image, target = picture(1, (victim.image_size or (SIDE, SIDE))[0]), "sure , here is how"
        if victim.sees_images:
            found.append(_case(checks.gives_gradients, victim, image, ask.chat, target))
            found.append(_case(white_box.takes_pictures_by_slot, victim, image, ask.chat, target))
        shown = [image] if victim.sees_images else []
        found.append(_case(white_box.opens_its_text, victim, shown, target))
    return found


def _of_attack(attack: Attack) -> list[Case]:
    found = []
    for with_image in (False, True):
        bench = _Bench(attack, with_image)
        about = "text and picture" if with_image else "text"
        crafting = (checks.crafts_alike_for_one_seed, checks.crafts_what_its_scope_says)
        applying = (
            checks.apply_is_pure,
            checks.apply_survives_the_store,
            checks.changes_what_it_says,
            checks.converse_ends_with_the_victims_reply,
        )
        each = [_case(check, attack) for check in (*crafting, *applying)]
        runs = [*(partial(bench.crafted, check) for check in crafting), *(partial(bench.applied, c) for c in applying)]
        for case, run in zip(each, runs, strict=True):
            found.append(dataclasses.replace(case, name=f"{case.name} ({about})", run=run))
    return found


@dataclass(frozen=True)
class _Bench:
    """An attack with samples and a victim, which is loaded and attacked when a check asks for it."""

    attack: Attack
    with_image: bool

    @property
    def samples(self) -> list[Sample]:
        return samples(self.with_image)

    @cached_property
    def victim(self) -> Victim:
        victim: Victim = build("victims", WHITE, device="cpu") if self.attack.opens != "nothing" else Scripted()
        return victim

    @cached_property
    def artefacts(self) -> list[Artefact]:
        return list(self.attack.craft(self.victim, self.samples, seed=3))

    def crafted(self, check: Callable[..., None]) -> None:
        check(self.attack, self.victim, self.samples)

    def applied(self, check: Callable[..., None]) -> None:
        for k, sample in enumerate(self.samples):
            check(self.attack, self.artefacts[0 if self.attack.scope != "sample" else k], sample)


def _each(check: Callable[..., None], plug: Any, shown: list[Any]) -> Case:
    """`check` on everything that is shown to the plug."""

    def run() -> None:
        for one in shown:
            check(plug, one)

    return dataclasses.replace(_case(check, plug), run=run)


def _pixels() -> Any:
    import torch

    return torch.from_numpy(picture(2, 96).array().copy()).permute(2, 0, 1)[None].float() / 255
