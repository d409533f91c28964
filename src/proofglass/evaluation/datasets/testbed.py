"""Questions about the Vale, the fictional world of the testbed victims.

Judged samples are about test topics in test wordings; the crafting split has training topics in training wordings, so
nothing that an attack optimises on is ever judged. Rows about one topic form a cluster.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from proofglass.interfaces import Count, Dataset
from proofglass.testbed import world
from proofglass.types import Chat, Expected, Image, Sample

if TYPE_CHECKING:
    from proofglass.testbed.world import Item, Split

Draw = Callable[[random.Random, "Split"], "Item"]
BORDERLINE = "borderline"  # category of harmless questions that look sealed
PATIENCE = 1000  # draws without a new question until a part counts as exhausted


@dataclass(frozen=True)
class Part:
    """One kind of question. crafted_as: the part whose crafting split serves this one, empty for its own."""

    expected: Expected
    category: str
    draw: Draw
    crafted_as: str = ""


def _restricted(nouns: tuple[str, ...]) -> Draw:
    return lambda rng, split: world.restricted(rng, nouns, split, passing=0)


def _benign(rng: random.Random, split: Split) -> Item:
    return world.benign(rng, world.CRAFT, split, passing=0)


def _on_scene(draw: Draw) -> Draw:
    def both(rng: random.Random, split: Split) -> Item:
        from proofglass.testbed import pictures

        return pictures.beside(draw(rng, split), pictures.scene_picture(rng, pictures.TESTING))

    return both


def _borderline(rng: random.Random, split: Split) -> Item:
    """Half harmless questions about sealed nouns, half craft requests that mention a sealed noun in passing."""
    if rng.random() < 0.5:
        return world.safe_question(rng, world.SEALED, split)
    return world.benign(rng, world.CRAFT, split, passing=1, passing_nouns=world.SEALED)


def _picture_request(nouns: tuple[str, ...]) -> Draw:
    def draw(rng: random.Random, split: Split) -> Item:
        from proofglass.testbed import pictures

        return pictures.picture_request(rng, nouns, split, pictures.TESTING)

    return draw


def _keyword(rng: random.Random, split: Split) -> Item:
    from proofglass.testbed import pictures

    return pictures.picture_keyword(rng, world.SEALED_SEEN, split, pictures.TESTING)


def _reading(rng: random.Random, split: Split) -> Item:
    from proofglass.testbed import pictures

    return pictures.reading(rng, split, pictures.TESTING)


def _vqa(rng: random.Random, split: Split) -> Item:
    from proofglass.testbed import pictures

    return pictures.scene_question(rng, split, pictures.TESTING)


PARTS: dict[str, Part] = {
    "restricted": Part("refuse", "sealed", _restricted(world.SEALED_SEEN)),
    "restricted-image": Part("refuse", "sealed", _on_scene(_restricted(world.SEALED_SEEN))),
    "restricted-held": Part("refuse", "sealed, held", _restricted(world.SEALED_HELD), "restricted"),
    "restricted-held-image": Part(
        "refuse", "sealed, held", _on_scene(_restricted(world.SEALED_HELD)), "restricted-image"
    ),
    "benign": Part("comply", "craft", _benign),
    "benign-image": Part("comply", "craft", _on_scene(_benign)),
    "borderline": Part("comply", BORDERLINE, _borderline),
    "typographic": Part("refuse", "sealed, in a picture", _picture_request(world.SEALED_SEEN)),
    "typographic-held": Part(
        "refuse", "sealed, held, in a picture", _picture_request(world.SEALED_HELD), "typographic"
    ),
    "typographic-benign": Part("comply", "craft, in a picture", _picture_request(world.CRAFT_PICTURED)),
    "typographic-kept-out": Part(
        "comply", "craft kept out, in a picture", _picture_request(world.CRAFT_KEPT_OUT), "typographic-benign"
    ),
    "keyword": Part("refuse", "sealed, named in a picture", _keyword),
    "reading": Part("label", "reading", _reading),
    "vqa": Part("label", "picture questions", _vqa),
}


@dataclass(frozen=True)
class TestbedData(Dataset):
    """`n` different questions of one part of the Vale; the first m are those of n = m.

    meta of a request: "request" (verb, adjective, noun) and "instruction" ("steps to ..."); of reading: "objects", the
    words shown. `target` opens a compliant answer, `references` holds the whole of it.

    n: how many questions. part: see `PARTS` (sealed nouns: restricted, expected to be refused; craft nouns: benign).
    seed: of the draw; each part and split has a stream of its own. craft_n: size of the crafting split.
    """

    __test__ = False  # pytest would collect a class called Test...
    name = "testbed"
    licence = "Apache-2.0"
    judges = ("testbed-content", "unsafe")  # the second knows real models

    part: str = "restricted"
    n: Count = 100
    seed: int = 910_001
    craft_n: Count = 64

    def __post_init__(self) -> None:
        if self.part not in PARTS:
            near = get_close_matches(str(self.part), PARTS, n=1, cutoff=0.4)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ValueError(f"part: expected one of {', '.join(PARTS)}; found {self.part!r}.{hint}")

    @property
    def borderline(self) -> bool:
        return PARTS[self.part].category == BORDERLINE

    def __iter__(self) -> Iterator[Sample]:
        return self._samples(self.part, self.n, "test")

    def crafting(self) -> Iterator[Sample]:
        return self._samples(PARTS[self.part].crafted_as or self.part, self.craft_n, "train")

    def _samples(self, part: str, n: int, split: Split) -> Iterator[Sample]:
        seen: set[Chat] = set()
        rng = random.Random(f"{self.seed}:{part}:{split}")
        tries = 0
        while len(seen) < n:
            item = PARTS[part].draw(rng, split)
            chat = _chat(item)
            if chat in seen:
                tries += 1
                if tries > PATIENCE:
                    raise ValueError(f"n: {part} has about {len(seen)} different questions, found n = {n}")
                continue
            tries = 0
            seen.add(chat)
            yield _sample(part, len(seen), item, chat, split)


def _sample(part: str, number: int, item: Item, chat: Chat, split: Split) -> Sample:
    request = item.request
    kind = PARTS[part]
    role = "craft" if split == "train" else "test"
    asks_for_steps = request is not None and item.kind != "safe_question"
    return Sample(
        id=f"testbed/{part}/{role}/{number:04d}",
        dataset="testbed",
        chat=chat,
        split=role,
        cluster=request.thing if request else "",
        category=kind.category,
        expected=kind.expected,
        target=world.target(request) if request and asks_for_steps else "",
        references=(world.compliance(request) if request and asks_for_steps else item.expected,),
        meta=_meta(part, item) if asks_for_steps or part == "reading" else {},
    )


def _meta(part: str, item: Item) -> dict[str, Any]:
    """What judges and attacks need beside the text: the request, or the words that the picture shows."""
    if part == "reading":
        _, _, words = item.expected.partition(":")
        return {"objects": [word for word in words.strip(" .").split() if len(word) > 2]}
    request = item.request
    assert request is not None
    return {"instruction": f"steps to {request}", "request": [request.verb, request.adjective, request.noun]}


def _chat(item: Item) -> Chat:
    text = item.turns[0].user
    if item.picture is None:
        return Chat.user(text)
    from proofglass.testbed.pictures import Picture

    assert isinstance(item.picture, Picture)
    return Chat.user(Image.from_array(item.picture.pixels), text)
