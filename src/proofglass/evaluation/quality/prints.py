"""What a sample is known by: exactly, by its pixels and words; nearly, by hashes under which similar ones lie close."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from proofglass.errors import ImageError, MissingExtra, is_environment
from proofglass.types import Image, Sample

if TYPE_CHECKING:
    from datasketch import MinHash

SHINGLE = 3  # words
PERMUTATIONS = 64


@dataclass(frozen=True)
class Print:
    """id, dataset, split: of the sample. words: its question, without case, punctuation and blanks between. pictures:
    sha256 of each; looks: perceptual hash of each (64 bits, pHash). unread: why a picture could not be looked at."""

    id: str
    dataset: str
    split: str
    words: str
    pictures: tuple[str, ...]
    looks: tuple[int, ...]
    unread: str = ""


def prints(samples: Iterable[Sample], label: str) -> Iterator[Print]:
    """The print of each sample, one after another. label: of the data set. Raises MissingExtra without imagehash."""
    known: dict[str, int] = {}
    for sample in samples:
        try:
            looks = tuple(_look(image, known) for image in sample.chat.images)
        except ImageError as error:
            if is_environment(error):
                raise
            yield Print(sample.id, label, sample.split, folded(sample.chat.last_text), (), (), str(error))
            continue
        shas = tuple(image.sha256 for image in sample.chat.images)
        yield Print(sample.id, label, sample.split, folded(sample.chat.last_text), shas, looks)


def _look(image: Image, known: dict[str, int]) -> int:
    if image.sha256 not in known:
        known[image.sha256] = look(image)
    return known[image.sha256]


def look(image: Image) -> int:
    """The perceptual hash of a picture, 64 bits: pictures that look alike differ in few of them (ImageHash's pHash)."""
    from PIL import Image as Pillow

    try:
        import imagehash
    except ImportError as error:
        raise MissingExtra("imagehash is not installed. Run: pip install imagehash") from error
    return int(str(imagehash.phash(Pillow.fromarray(image.array()))), 16)


def folded(text: str) -> str:
    """Words in lower case, NFKC, single blanks, no punctuation: equal for texts that say the same in the same words."""
    text = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"\w+", text))


def shingles(words: str) -> set[str]:
    """Runs of three words; of a shorter text itself."""
    parts = words.split()
    if len(parts) <= SHINGLE:
        return {words} if words else set()
    return {" ".join(parts[k : k + SHINGLE]) for k in range(len(parts) - SHINGLE + 1)}


def minhash(words: str) -> MinHash:
    """By which texts that share most of their runs of three words are found (datasketch's MinHash)."""
    try:
        from datasketch import MinHash
    except ImportError as error:
        raise MissingExtra("datasketch is not installed. Run: pip install datasketch") from error
    found = MinHash(num_perm=PERMUTATIONS, seed=1)
    found.update_batch([each.encode("utf-8", "surrogatepass") for each in sorted(shingles(words))])
    return found
