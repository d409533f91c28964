"""Every registered object against its contract. The checks are those of `proofglass.testing`, what is built is in
`fixtures.py`."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from conformance import fixtures
from conformance.broken_plugs import Scripted
from conformance.fixtures import Bench, different_victims, names
from proofglass import Stack
from proofglass.errors import MissingExtra
from proofglass.interfaces import Detector, Encoder, WhiteBoxVictim, opened_through
from proofglass.registry import BASES, Kind, build, entry
from proofglass.testing import checks, material, on_disk, opened, suite, white_box
from proofglass.types import Artefact, Ask, Chat, Settings
from proofglass.victims.testbed import TestbedVictim
from strangers.random_resize import RandomResize
from victims.flaky_server import Flaky, serving

EVERY = [(kind, name) for kind in BASES for name in names(kind)]


@pytest.fixture(scope="session")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with serving(Flaky()) as api:
        yield fixtures.make_bench(tmp_path_factory.mktemp("bench"), api)


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_plug(bench: Bench, kind: Kind, name: str) -> None:
    plug = bench.build(kind, name)
    assert isinstance(plug, BASES[kind])
    assert isinstance(plug, entry(kind, name).load())
    checks.is_a_frozen_dataclass(plug)
    checks.says_what_it_is(plug, needs_paper=kind in ("attacks", "defenses") and name not in fixtures.WITHOUT_PAPER)
    checks.key_is_stable(lambda: bench.build(kind, name))
    checks.key_holds_every_parameter(plug, bench.other_values(name))
    checks.settings_build_it_again(plug)
    checks.takes_strings_for_paths(plug)


# What `proofglass check` does: nobody names another value. The fields of figstep are None, a threshold of
# schlarmann2023 is 0 (and so is its half), phrases takes one word only.
@pytest.mark.parametrize(
    ("kind", "name", "guessed"),
    [("attacks", "figstep", True), ("attacks", "schlarmann2023", True), ("judges", "phrases", False)],
)
def test_what_cannot_be_guessed_is_no_fault_of_the_plug(kind: Kind, name: str, guessed: bool) -> None:
    (case,) = (case for case in suite.cases(lambda: build(kind, name)) if case.name == "key holds every parameter")
    assert bool(case.why_not) != guessed
    if guessed:
        case()


def test_an_attack_may_ask_several_prompts_and_join_the_answers() -> None:
    attack = build("attacks", "tu2023")
    assert len(attack.prompts) > 1
    sample = material.samples(True)[0]
    checks.converse_ends_with_the_victims_reply(attack, Artefact(sample.id, images=sample.chat.images), sample)


def test_a_target_that_is_said_at_once_takes_no_gradient() -> None:
    # carlini2023 asks before its first step, and the victim answers these samples with their targets already.
    victim = build("victims", "testbed-linear", device="cpu")
    checks.crafts_what_its_scope_says(build("attacks", "carlini2023"), victim, material.samples(True))


# One victim by its weights stands for all: they are one class.
@pytest.mark.parametrize(("kind", "name"), [(k, n) for k, n in EVERY if k != "victims" or n in different_victims()])
def test_plug_that_reads_files(bench: Bench, kind: Kind, name: str) -> None:
    plug = bench.with_files(kind, name)
    on_disk.key_follows_its_files(plug)
    tried = {field for field, _, _ in on_disk.places_of(plug)}
    paths = {f.name for f in dataclasses.fields(plug) if "Path" in str(f.type)} - set(plug.not_in_key)
    assert paths <= tried, "a field that is a path was not tried: name a file for it in Bench.with_files"


def test_the_texts_beside_the_weights_of_a_testbed_victim_are_in_its_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The layout that figstep draws stands on the card, the words in the tokenizer.
    folder = Path(shutil.copytree(TestbedVictim().folder, tmp_path / "testbed-linear"))
    monkeypatch.setattr(TestbedVictim, "folder", folder)
    keys = [TestbedVictim().key]
    for name in ("card.json", "tokenizer.json", "chat_template.jinja"):
        (folder / name).write_text((folder / name).read_text() + " ")
        keys.append(TestbedVictim().key)
    assert len(set(keys)) == 4


MODEL_FOLDERS = [("victims", "hf", "path"), ("victims", "ocr-llm-control", "model"), ("models", "hf-encoder", "path")]


@pytest.mark.parametrize(("kind", "name", "field"), MODEL_FOLDERS)
def test_every_text_of_a_models_folder_is_in_its_key(
    bench: Bench, kind: Kind, name: str, field: str, tmp_path: Path
) -> None:
    # Weights alone do not say what a model answers: an edited tokenizer or chat template is another victim.
    plug = bench.build(kind, name)
    folder = Path(shutil.copytree(getattr(plug, field), tmp_path / "model"))
    (folder / "chat_template.jinja").write_text("{{ messages }}")
    keys = [dataclasses.replace(plug, **{field: str(folder)}).key]
    for text in sorted(path for path in folder.iterdir() if path.suffix != ".safetensors"):
        text.write_text(text.read_text() + " ")
        keys.append(dataclasses.replace(plug, **{field: str(folder)}).key)
        assert len(set(keys)) == len(keys), text.name
    assert len(keys) > 3


@pytest.mark.parametrize("name", names("datasets"))
def test_dataset(bench: Bench, name: str) -> None:
    data = bench.build("datasets", name)
    checks.ids_are_unique(data)
    checks.iterates_alike_twice(data)
    checks.crafting_is_disjoint(data)
    checks.samples_are_whole(data)
    on_disk.refuses_pictures_outside(data)


def test_every_part_of_the_testbed_keeps_its_crafting_split_apart() -> None:
    from proofglass.evaluation.datasets.testbed import PARTS, TestbedData

    for part in PARTS:
        data = TestbedData(part=part, n=20, craft_n=20)
        checks.ids_are_unique(data)
        checks.crafting_is_disjoint(data)


@pytest.mark.parametrize("with_image", [False, True], ids=["text", "text and picture"])
@pytest.mark.parametrize("name", names("attacks"))
def test_attack(bench: Bench, name: str, with_image: bool) -> None:
    attack = bench.build("attacks", name)
    opened = attack.opens != "nothing"
    victim = bench.build("victims", "llava" if opened else "ocr-llm-control")
    samples = fixtures.samples(with_image)
    checks.crafts_alike_for_one_seed(attack, victim, samples)
    checks.crafts_what_its_scope_says(attack, victim, samples)
    artefacts = list(attack.craft(victim, samples, seed=3))
    for k, sample in enumerate(samples):
        artefact = artefacts[0] if attack.scope != "sample" else artefacts[k]
        checks.apply_is_pure(attack, artefact, sample)
        checks.apply_survives_the_store(attack, artefact, sample)
        checks.changes_what_it_says(attack, artefact, sample)
        checks.converse_ends_with_the_victims_reply(attack, artefact, sample)


@pytest.mark.parametrize("name", names("defenses"))
def test_defense(bench: Bench, name: str) -> None:
    defense = bench.build("defenses", name)
    system = Ask(Chat.user(fixtures.picture(1), "what is it ?").with_system("be brief"), Settings(5, draw=1))
    for ask in (*fixtures.asks(), system):
        checks.never_changes_its_ask(defense, ask)
        checks.passes_errors_on(defense, ask)
        if name not in fixtures.ALWAYS_ON:
            checks.disabled_is_the_identity(dataclasses.replace(defense, **fixtures.DISABLED[name]), ask)
    if defense.needs_model:
        checks.acts_inside(defense, build("victims", "testbed-linear", device="cpu"), fixtures.asks())
    else:
        checks.wraps_a_victim(defense, Scripted(), fixtures.asks())


@pytest.mark.parametrize("name", names("defenses"))
def test_an_open_defense(bench: Bench, name: str) -> None:
    defense, model = bench.build("defenses", name), build("victims", "testbed-linear", device="cpu")
    if opened_through(defense, model) is None:
        pytest.skip("stays closed")
    shown, chat = fixtures.picture(1, 96), fixtures.asks()[0].chat
    opened.answers_as_it_defends(defense, model, [Ask(chat.with_image(shown), Settings(5)), *fixtures.asks()])
    opened.shows_what_reaches_the_model(defense, model, chat.with_image(shown), "sure , here is how")
    opened.gradients_lead_through_it(defense, model, shown, chat, "sorry , no .")


def _looks_inside(name: str) -> bool:
    """Whether the attack opens its victim; one that cannot be built without arguments says so as a class."""
    made = entry("attacks", name)
    required = any(
        f.init and f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
        for f in dataclasses.fields(made.load())
    )
    if required:
        return type(made.load().opens) is str and made.load().opens != "nothing"
    return build("attacks", name).opens != "nothing"


OPENING = [n for n in names("attacks") if _looks_inside(n)]


@pytest.mark.parametrize("name", OPENING)
def test_every_attack_that_opens_its_victim_is_crafted_through_a_defense_unchanged(bench: Bench, name: str) -> None:
    # A dialogue changed, pictures drawn anew at every look: no attack knows, and none stops at it.
    attack, model = bench.build("attacks", name), bench.build("victims", "llava")
    view = opened_through(Stack((build("defenses", "system-prompt", text="be careful"), RandomResize(draws=2))), model)
    assert view is not None
    artefacts = list(attack.craft(view, fixtures.samples(True), seed=3))
    assert artefacts
    assert {artefact.crafted_on for artefact in artefacts} <= {view.key, ""}


@pytest.mark.parametrize("name", names("judges"))
def test_judge(bench: Bench, name: str) -> None:
    judge = bench.build("judges", name)
    checks.scores_every_attempt(judge, fixtures.attempts())
    for attempt in fixtures.attempts():
        checks.never_judges_an_error(judge, attempt)


@pytest.mark.parametrize("name", fixtures.different_victims())
def test_victim(bench: Bench, name: str) -> None:
    victim = bench.build("victims", name)
    ask = fixtures.asks()[0]
    checks.has_a_card(victim)
    checks.replies_in_order(victim, fixtures.asks())
    checks.isolates_a_bad_ask(victim, ask)
    checks.answers_alike_twice(victim, ask)
    checks.keeps_the_token_limit(victim, ask)
    if isinstance(victim, WhiteBoxVictim) and victim.sees_images:
        side = victim.image_size or (28, 28)
        checks.gives_gradients(victim, fixtures.picture(1, side[0]), ask.chat, "sure , here is how")
        white_box.takes_pictures_by_slot(victim, fixtures.picture(1, side[0]), ask.chat, "sure , here is how")
        white_box.opens_its_text(victim, [fixtures.picture(1, side[0])], "sure , here is how")
    elif isinstance(victim, WhiteBoxVictim):
        white_box.opens_its_text(victim, [], "sure , here is how")


@pytest.mark.parametrize("name", names("models"))
def test_model(bench: Bench, name: str) -> None:
    if name in ("timm-encoder", "open-clip-encoder"):
        pytest.skip(f"needs weights of its own library: tests/models/test_{name.replace('-', '_')}.py runs this check")
    model = bench.build("models", name)
    if not isinstance(model, (Encoder, Detector)):
        pytest.skip("neither encoder nor detector: it has its own tests")
    image = fixtures.picture(2, 96).array().copy()
    try:
        checks.sees_pixels(model, torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255)
    except MissingExtra as error:
        pytest.skip(str(error))
