"""Every conformance check passes on a sound plug and fails on one that is broken in the way it looks for."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import torch

from conformance import broken_plugs as plugs
from conformance import fixtures
from proofglass.testing import checks, on_disk, white_box
from proofglass.types import Artefact, Ask, Chat, Image, Settings
from shapes import unheld

ASK = Ask(Chat.user("how do i mend a kite ?"), Settings(max_new_tokens=6))
ASKS = fixtures.asks()
SAMPLES = fixtures.samples(True)
ARTEFACT = Artefact()
ATTEMPTS = fixtures.attempts()


def tuple_artefact() -> Artefact:
    return next(plugs.NeedsItsTuple().craft(plugs.Scripted(), SAMPLES, seed=0))


def gradients(fault: str) -> Callable[[], None]:
    image = fixtures.picture(1, 8)
    return lambda: checks.gives_gradients(plugs.White(fault), image, ASK.chat, "sure")


def by_slot(fault: str) -> Callable[[], None]:
    image = fixtures.picture(1, 8)
    return lambda: white_box.takes_pictures_by_slot(plugs.OpensText(fault=fault), image, ASK.chat, "sure")


def opens(fault: str) -> Callable[[], None]:
    image = fixtures.picture(1, 8)
    return lambda: white_box.opens_its_text(plugs.OpensText(fault=fault), [image], "sure")


def looks(fault: str) -> Callable[[], None]:
    picture = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    return lambda: checks.sees_pixels(plugs.Sees(fault), picture)


def crafts(check: Callable, attack: plugs.Suffix) -> Callable[[], None]:
    return lambda: check(attack, plugs.Scripted(), SAMPLES)


def applies(check: Callable, attack: plugs.Suffix, artefact: Artefact = ARTEFACT) -> Callable[[], None]:
    return lambda: check(attack, artefact, SAMPLES[0])


def with_files(check: Callable, plug: Callable) -> Callable[[], None]:
    """`check` on a plug that reads the files of a folder made for it."""

    def run() -> None:
        with TemporaryDirectory() as folder:
            check(plug(plugs.files_in(Path(folder))))

    return run


# check name -> (it on a sound plug, it on plugs broken in its way)
CASES: dict[str, tuple[Callable[[], None], dict[str, Callable[[], None]]]] = {
    "is_a_frozen_dataclass": (
        lambda: checks.is_a_frozen_dataclass(plugs.Polite()),
        {"not frozen": lambda: checks.is_a_frozen_dataclass(plugs.Soft())},
    ),
    "says_what_it_is": (
        lambda: checks.says_what_it_is(plugs.Polite(), needs_paper=True),
        {
            "no docstring": lambda: checks.says_what_it_is(plugs.Undocumented(), needs_paper=True),
            "no name": lambda: checks.says_what_it_is(plugs.Nameless(), needs_paper=True),
            "no paper": lambda: checks.says_what_it_is(plugs.Paperless(), needs_paper=True),
            "no link": lambda: checks.says_what_it_is(plugs.Unlinked(), needs_paper=False),
        },
    ),
    "key_is_stable": (
        lambda: checks.key_is_stable(plugs.Polite),
        {"tells the time": lambda: checks.key_is_stable(plugs.NewKeys)},
    ),
    "key_holds_every_parameter": (
        lambda: checks.key_holds_every_parameter(plugs.Suffix()),
        {"forgets one": lambda: checks.key_holds_every_parameter(plugs.ForgetfulKey())},
    ),
    "settings_build_it_again": (
        lambda: checks.settings_build_it_again(plugs.Suffix("now")),
        {"lossy": lambda: checks.settings_build_it_again(plugs.Lossy(0.9))},
    ),
    "takes_strings_for_paths": (
        lambda: checks.takes_strings_for_paths(plugs.Rules()),
        {"text": lambda: checks.takes_strings_for_paths(plugs.PathsAreText())},
    ),
    "key_follows_its_files": (
        with_files(on_disk.key_follows_its_files, plugs.Reading),
        {
            "knows the name only": with_files(on_disk.key_follows_its_files, plugs.ReadingByName),
            "reads once": with_files(on_disk.key_follows_its_files, plugs.ReadingOnce),
            "text that is a path": with_files(on_disk.key_follows_its_files, plugs.ReadingText),
            "first of several": with_files(on_disk.key_follows_its_files, plugs.ReadingTheFirst),
            "declares what is no field": with_files(on_disk.key_follows_its_files, plugs.Misspelt),
            "folder by name": with_files(on_disk.key_follows_its_files, plugs.AlbumByName),
            "leaves out the crafting split": with_files(on_disk.key_follows_its_files, plugs.AlbumByTable),
        },
    ),
    "refuses_pictures_outside": (
        with_files(on_disk.refuses_pictures_outside, plugs.Album),
        {
            "follows links": with_files(on_disk.refuses_pictures_outside, plugs.AlbumThroughLinks),
            "joins any name": with_files(on_disk.refuses_pictures_outside, plugs.AlbumOfAnyName),
        },
    ),
    "is_8_bit": (
        lambda: checks.is_8_bit(plugs.grey()),
        {
            "float": lambda: checks.is_8_bit(plugs.float_image()),
            "other size": lambda: checks.is_8_bit(Image(plugs.grey().sha256, 5, 4, plugs.grey().array)),
            "other pixels": lambda: checks.is_8_bit(Image("0" * 64, 4, 4, plugs.grey().array)),
        },
    ),
    "ids_are_unique": (
        lambda: checks.ids_are_unique(plugs.Three()),
        {"same id": lambda: checks.ids_are_unique(plugs.Three("same id"))},
    ),
    "iterates_alike_twice": (
        lambda: checks.iterates_alike_twice(plugs.Three()),
        {"changes": lambda: checks.iterates_alike_twice(plugs.Three("changes"))},
    ),
    "crafting_is_disjoint": (
        lambda: checks.crafting_is_disjoint(plugs.Three()),
        {
            fault: lambda fault=fault: checks.crafting_is_disjoint(plugs.Three(fault))  # type: ignore[misc]
            for fault in ("leaks a question", "leaks an id", "unmarked split")
        },
    ),
    "samples_are_whole": (
        lambda: checks.samples_are_whole(plugs.Three()),
        {
            **{
                fault: lambda fault=fault: checks.samples_are_whole(plugs.Three(fault))  # type: ignore[misc]
                for fault in ("other name", "asks nothing", "float picture")
            },
            "no licence": lambda: checks.samples_are_whole(plugs.Unlicensed()),
        },
    ),
    "crafts_alike_for_one_seed": (
        crafts(checks.crafts_alike_for_one_seed, plugs.Suffix()),
        {"rolls dice": crafts(checks.crafts_alike_for_one_seed, plugs.Rolls())},
    ),
    "crafts_what_its_scope_says": (
        crafts(checks.crafts_what_its_scope_says, plugs.Suffix()),
        {
            "per sample": crafts(checks.crafts_what_its_scope_says, plugs.PerSampleButUniversal()),
            "universal": crafts(checks.crafts_what_its_scope_says, plugs.UniversalButPerSample()),
            "another victim": crafts(checks.crafts_what_its_scope_says, plugs.CraftedElsewhere()),
            "scope none": crafts(checks.crafts_what_its_scope_says, plugs.NothingToCraft()),
            "free scores": crafts(checks.crafts_what_its_scope_says, plugs.FreeScores()),
            "free gradients": crafts(checks.crafts_what_its_scope_says, plugs.FreeGradients()),
        },
    ),
    "apply_is_pure": (
        applies(checks.apply_is_pure, plugs.Suffix()),
        {
            "counts calls": applies(checks.apply_is_pure, plugs.Counts()),
            "writes to the sample": lambda: checks.apply_is_pure(
                plugs.WritesToTheSample(), ARTEFACT, fixtures.samples(True)[0]
            ),
        },
    ),
    "apply_survives_the_store": (
        applies(checks.apply_survives_the_store, plugs.Suffix()),
        {"needs a tuple": lambda: applies(checks.apply_survives_the_store, plugs.NeedsItsTuple(), tuple_artefact())()},
    ),
    "changes_what_it_says": (
        applies(checks.changes_what_it_says, plugs.Suffix()),
        {
            "hides a picture": applies(checks.changes_what_it_says, plugs.HidesAPicture()),
            "float picture": applies(checks.changes_what_it_says, plugs.FloatPicture()),
            "changes no text": applies(checks.changes_what_it_says, plugs.PromisesText()),
            "shows a picture later": applies(checks.changes_what_it_says, plugs.ShowsItLater()),
        },
    ),
    "converse_ends_with_the_victims_reply": (
        applies(checks.converse_ends_with_the_victims_reply, plugs.Suffix()),
        {
            "own settings": applies(checks.converse_ends_with_the_victims_reply, plugs.OwnSettings()),
            "answers itself": applies(checks.converse_ends_with_the_victims_reply, plugs.AnswersItself()),
        },
    ),
    "disabled_is_the_identity": (
        lambda: checks.disabled_is_the_identity(plugs.Polite(on=False), ASK),
        {
            "never off": lambda: checks.disabled_is_the_identity(plugs.NeverOff(on=False), ASK),
            "rewrites": lambda: checks.disabled_is_the_identity(plugs.RewritesWhenOff(on=False), ASK),
        },
    ),
    "never_changes_its_ask": (
        lambda: checks.never_changes_its_ask(plugs.Polite(), ASK),
        {
            "writes to the ask": lambda: checks.never_changes_its_ask(plugs.WritesToTheAsk(), Ask(ASK.chat)),
            "own settings": lambda: checks.never_changes_its_ask(plugs.Chatty(), ASK),
        },
    ),
    "passes_errors_on": (
        lambda: checks.passes_errors_on(plugs.Polite(), ASK),
        {
            "safe on error": lambda: checks.passes_errors_on(plugs.SafeOnError(), ASK),
            "forgets the second": lambda: checks.passes_errors_on(plugs.ForgetsTheSecondError(), ASK),
        },
    ),
    "wraps_a_victim": (
        lambda: checks.wraps_a_victim(plugs.Polite(), plugs.Scripted(), ASKS),
        {
            "same key": lambda: checks.wraps_a_victim(plugs.SameKey(), plugs.Scripted(), ASKS),
            "loses a cost": lambda: checks.wraps_a_victim(plugs.Skips(), plugs.Scripted(), ASKS),
            "out of order": lambda: checks.wraps_a_victim(plugs.Polite(), plugs.Reversed(), ASKS),
        },
    ),
    "acts_inside": (
        lambda: checks.acts_inside(plugs.Inside(), plugs.Layered(), ASKS),
        {
            "takes anything": lambda: checks.acts_inside(plugs.TakesAnything(), plugs.Layered(), ASKS),
            "out of order": lambda: checks.acts_inside(plugs.Inside(), plugs.ReversedInside(), ASKS),
            "same key": lambda: checks.acts_inside(plugs.SameKey(), plugs.Layered(), ASKS),
        },
    ),
    "scores_every_attempt": (
        lambda: checks.scores_every_attempt(plugs.Long(), ATTEMPTS),
        {
            "loses one": lambda: checks.scores_every_attempt(plugs.LosesOne(), ATTEMPTS),
            "relative": lambda: checks.scores_every_attempt(plugs.Relative(), ATTEMPTS),
            "other name": lambda: checks.scores_every_attempt(plugs.OtherName(), ATTEMPTS),
            "no column": lambda: checks.scores_every_attempt(plugs.NoColumn(), ATTEMPTS),
        },
    ),
    "never_judges_an_error": (
        lambda: checks.never_judges_an_error(plugs.Long(), ATTEMPTS[0]),
        {"judges it": lambda: checks.never_judges_an_error(plugs.JudgesErrors(), ATTEMPTS[0])},
    ),
    "replies_in_order": (
        lambda: checks.replies_in_order(plugs.Scripted(), ASKS),
        {
            "reversed": lambda: checks.replies_in_order(plugs.Reversed(), ASKS),
            "short": lambda: checks.replies_in_order(plugs.Short(), ASKS),
        },
    ),
    "isolates_a_bad_ask": (
        lambda: checks.isolates_a_bad_ask(plugs.Scripted(), ASK),
        {
            "blind": lambda: checks.isolates_a_bad_ask(plugs.Blind(), ASK),
            "raises": lambda: checks.isolates_a_bad_ask(plugs.Raising(), ASK),
            "spoils the batch": lambda: checks.isolates_a_bad_ask(plugs.Spoiling(), ASK),
        },
    ),
    "answers_alike_twice": (
        lambda: checks.answers_alike_twice(plugs.Scripted(), ASK),
        {"moody": lambda: checks.answers_alike_twice(plugs.Moody(), ASK)},
    ),
    "keeps_the_token_limit": (
        lambda: checks.keeps_the_token_limit(plugs.Scripted(), ASK),
        {
            "endless": lambda: checks.keeps_the_token_limit(plugs.Endless(), ASK),
            "cuts in silence": lambda: checks.keeps_the_token_limit(plugs.CutsInSilence(), ASK),
            "uncounted": lambda: checks.keeps_the_token_limit(plugs.Uncounted(), ASK),
        },
    ),
    "has_a_card": (
        lambda: checks.has_a_card(plugs.Scripted()),
        {"empty": lambda: checks.has_a_card(plugs.NoCard())},
    ),
    "gives_gradients": (
        gradients(""),
        {
            fault: gradients(fault)
            for fault in ("zero", "uphill", "mixes rows", "wrong shape", "takes anything", "looks at anything")
        },
    ),
    "takes_pictures_by_slot": (
        by_slot(""),
        {fault: by_slot(fault) for fault in ("one form", "fixed is grey", "any slot")},
    ),
    "opens_its_text": (
        opens(""),
        {
            fault: opens(fault)
            for fault in (
                "reads otherwise",
                "marks too much",
                "mixes candidates",
                "one loss",
                "nothing writable",
                "wide embeddings",
                "text uphill",
                "no text gradient",
            )
        },
    ),
    "sees_pixels": (
        looks(""),
        {
            fault: looks(fault)
            for fault in (
                "takes anything",
                "mixes rows",
                "blind",
                "cuts the gradient",
                "not a number",
                "loses the batch",
            )
        },
    ),
}


def test_every_check_is_shown_to_bite() -> None:
    every = {
        name
        for module in (checks, on_disk, white_box)
        for name, found in inspect.getmembers(module, inspect.isfunction)
        if found.__module__.startswith(module.__name__) and not name.startswith("_")
    }
    assert every - {"places_of"} == set(CASES)


@pytest.mark.parametrize("check", CASES)
def test_passes_on_a_sound_plug(check: str) -> None:
    CASES[check][0]()


@pytest.mark.parametrize(("check", "fault"), [(check, fault) for check in CASES for fault in CASES[check][1]])
def test_fails_on_a_broken_plug(check: str, fault: str) -> None:
    from proofglass.errors import ImageError

    # A victim that raises for one ask fails its check by that very error. The check itself is to find a wrong shape.
    with unheld(), pytest.raises((AssertionError, ImageError) if fault == "raises" else AssertionError):
        CASES[check][1][fault]()


def test_an_attack_may_word_its_question_while_it_talks() -> None:
    applies(checks.changes_what_it_says, plugs.WordsItLater())()
