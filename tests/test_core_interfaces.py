"""Keys name what a plug is; a defended victim is a victim; `import proofglass` stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import proofglass
from proofglass import errors, types
from proofglass.defenses.inference.none import NoDefense
from proofglass.defenses.inference.system_prompt import SystemPrompt
from proofglass.engine import Objective
from proofglass.errors import ClosedVictim
from proofglass.flow import Flow
from proofglass.interfaces import Defended, Defense, Victim, WhiteBoxVictim, innermost, key_of
from proofglass.types import Ask, Chat, Cost, Image, Reply, Settings


@dataclass(frozen=True)
class Says(Victim):
    """Says its word and the system prompt."""

    name = "says"
    word: str = "hello"

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        return [Reply(f"{self.word} {ask.chat.system}", cost=Cost(queries=1)) for ask in asks]


@dataclass(frozen=True)
class Louder(Says):
    """Another class with the same fields."""


@dataclass(frozen=True)
class Raises(Defense):
    name = "raises"

    def flow(self, ask: Ask) -> Flow[Reply]:
        reply = yield ask
        if "odd" in ask.chat.last_text:
            raise RuntimeError("no opinion")
        return reply


# ---------------------------------------------------------------- keys


def test_a_key_is_16_hex_digits_and_the_same_in_another_process() -> None:
    code = "from proofglass.defenses.inference.system_prompt import SystemPrompt as S; print(S(text='be kind').key)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert told == SystemPrompt(text="be kind").key
    assert len(told) == 16
    assert int(told, 16) >= 0


def test_class_version_and_every_field_are_in_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Says().key
    assert Says("hi").key != before
    assert Louder().key != before
    monkeypatch.setattr(Says, "version", 2)
    assert Says().key != before


def test_key_of_looks_through_plugs_images_settings_and_paths() -> None:
    one, two = (Image.from_array(np.full((2, 2, 3), level, np.uint8)) for level in (0, 1))
    assert key_of([one, Says(), Settings(), Path("a")]) == key_of([one, Says(), Settings(), Path("a")])
    for other in ([two, Says(), Settings(), Path("a")], [one, Says("x"), Settings(), Path("a")],
                  [one, Says(), Settings(5), Path("a")], [one, Says(), Settings(), Path("b")]):  # fmt: skip
        assert key_of(other) != key_of([one, Says(), Settings(), Path("a")])


def test_a_mapping_has_one_key_whatever_its_order() -> None:
    assert key_of({"a": 1, "b": 2}) == key_of({"b": 2, "a": 1})


def test_what_has_no_plain_value_has_no_key() -> None:
    with pytest.raises(TypeError, match="no key for a object"):
        key_of(object())


# ---------------------------------------------------------------- defended victims


@dataclass(frozen=True)
class Reads(Says):
    """Its own checks see paths, too; a name that may be a path stays what it is."""

    file: Path | None = None
    files: tuple[Path, ...] = ()
    model: str | Path = "owner/model"

    def __post_init__(self) -> None:
        assert self.file is None or self.file.suffix in (".txt", "")


def test_a_field_that_is_a_path_takes_a_string(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    told = Reads(file="a/b.txt", files=["c", Path("d")])  # type: ignore[arg-type]
    assert (told.file, told.files, told.model) == (Path("a/b.txt"), (Path("c"), Path("d")), "owner/model")
    assert told == Reads(file=Path("a/b.txt"), files=(Path("c"), Path("d")))
    assert Reads(file="~/x.txt").file == Path("/home/me/x.txt")  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["", 5, True, ["a"]])
def test_what_is_no_path_is_refused_with_its_field(value: object) -> None:
    with pytest.raises(ValueError, match="file: expected a path"):
        Reads(file=value)  # type: ignore[arg-type]


def test_a_stack_of_defenses_is_a_victim_with_a_key_of_its_own() -> None:
    victim = Says()
    stack = SystemPrompt("a")(NoDefense()(victim))
    assert innermost(stack) is victim
    assert len({victim.key, stack.key, NoDefense()(SystemPrompt("a")(victim)).key}) == 3
    assert stack.reply([Ask(Chat.user("?"))])[0].text == "hello a"


def test_the_inner_defense_sees_what_the_outer_one_sends() -> None:
    # SystemPrompt("b") is innermost, so it has the last word.
    assert SystemPrompt("a")(SystemPrompt("b")(Says())).reply([Ask(Chat.user("?"))])[0].text == "hello b"


def test_a_defense_that_fails_is_an_error_of_its_sample_with_its_cost() -> None:
    odd, even = Raises()(Says()).reply([Ask(Chat.user("odd")), Ask(Chat.user("even"))])
    assert (odd.outcome, odd.cost.queries) == ("error", 1)
    assert "defense raises: RuntimeError: no opinion" in odd.reason
    assert even.outcome == "ok"


def test_layout_and_picture_size_shine_through() -> None:
    from proofglass.types import Layout

    victim = Says()
    object.__setattr__(victim, "layout", Layout(width=96))
    object.__setattr__(victim, "image_size", (96, 96))
    object.__setattr__(victim, "sees_images", False)
    defended = NoDefense()(victim)
    assert isinstance(defended, Defended)
    assert (defended.layout, defended.image_size, defended.sees_images) == (Layout(width=96), (96, 96), False)


def test_a_victim_lives_in_no_world_unless_it_says_so_and_a_defense_moves_it_to_no_other() -> None:
    victim = Says()
    assert NoDefense()(victim).world == victim.world == ""
    object.__setattr__(victim, "world", "the Vale")
    assert NoDefense()(victim).world == "the Vale"


# ---------------------------------------------------------------- the package


def test_type_checkers_see_the_public_names_that_there_are() -> None:
    # A stub exports what its own __all__ names; at run time the names are those that it imports.
    stub = ast.parse(Path(proofglass.__file__).with_suffix(".pyi").read_text())
    (listed,) = [node.value for node in stub.body if isinstance(node, ast.Assign)]
    assert ast.literal_eval(listed) == sorted(proofglass.__all__)


def test_every_noun_and_error_of_ours_is_public() -> None:
    inner = {"Unsent"}  # what a journal hands on where a budget is spent
    for module in (errors, types):
        ours = {
            n for n, each in vars(module).items() if isinstance(each, type) and each.__module__.startswith("proofglass")
        }
        assert ours - inner - set(proofglass.__all__) == set()


def test_every_public_name_resolves() -> None:
    for name in proofglass.__all__:
        assert getattr(proofglass, name) is not None
        assert name in dir(proofglass)


def test_no_public_name_is_hidden_by_a_module_of_that_name() -> None:
    modules = {path.stem for path in Path(proofglass.__file__).parent.iterdir()}
    assert not modules & set(proofglass.__all__)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="proofglass attribute atack"):
        _ = proofglass.atack


def test_import_proofglass_loads_nothing_heavy() -> None:
    heavy = ("torch", "transformers", "numpy", "polars", "pydantic", "PIL", "yaml", "typer", "rich", "jinja2")
    code = f"import sys, proofglass; print([m for m in {heavy!r} if m in sys.modules])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.strip() == "[]"


def test_a_victim_says_which_part_it_does_not_open():
    class Closed(WhiteBoxVictim):
        name = "closed"

        def reply(self, asks):
            return []

        def pixels(self, image):
            return None

        def prepare(self, pairs, *, append_eos=False):
            return None

        def loss_and_grad(self, pixels, prepared, *, weighting="token", need_grad=True, text=None):
            return None

    victim = Closed()
    for ask, part in (
        (lambda: victim.target_logits(None, None), "logits"),
        (lambda: victim.features(None), "vision tower"),
        (lambda: victim.embedding_width, "embeddings"),
        (victim.embeddings, "embeddings"),
        (victim.writable, "embeddings"),
        (lambda: victim.encode("x"), "tokenizer"),
        (lambda: victim.decode([1]), "tokenizer"),
    ):
        with pytest.raises(ClosedVictim, match=rf"'closed'.*{part}.*override"):
            ask()


def test_an_objective_without_its_two_methods_cannot_be_made():
    class Half(Objective):
        def rows(self, picks):
            return self

    with pytest.raises(TypeError, match="__call__"):
        Half()


def test_pixels_come_by_slot_in_one_form_or_the_other():
    import torch

    from proofglass.interfaces import by_slot, in_form_of

    one, two = torch.zeros(1, 3, 2, 2), torch.ones(1, 3, 4, 4)
    assert by_slot(one, ("image",), "port") == {"image": one}
    assert list(by_slot({"image2": two, "image": one}, ("image", "image2"), "port")) == ["image", "image2"]
    assert by_slot(None, (), "port") == {}
    for pixels, slots, says in (
        (one, ("image", "image2"), "expected a mapping of slots to tensors"),
        (None, ("image",), r"slots \['image'\], found \[\]"),
        ({"image": one}, ("image2",), r"slots \['image2'\], found \['image'\]"),
        ({"image": one, "image2": torch.cat([two, two])}, ("image", "image2"), "as many pictures in each slot"),
    ):
        with pytest.raises(ValueError, match=f"port: pixels: .*{says}"):
            by_slot(pixels, slots, "port")
    assert in_form_of(one, {"image": two}) is two
    assert in_form_of({"image": one}, {"image": two}) == {"image": two}
    assert in_form_of(None, {}) is None
