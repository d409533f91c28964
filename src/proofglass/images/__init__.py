"""8-bit pictures: guarded reading, PNG writing. Pillow only, and only once a picture is touched.

A picture file is input from strangers. Its size is known before a pixel is decoded, every way in which a decoder
can fail becomes one `ImageError` that names the file, and only common raster formats are tried (Pillow would
otherwise start other programs for some of them).
"""

from __future__ import annotations

import errno
import io
import os
import stat
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proofglass.errors import ImageError, is_environment
from proofglass.types import Image, pixel_hash

if TYPE_CHECKING:
    import numpy as np

MAX_FILE_BYTES = 256 * 2**20
MAX_SIDE = 32_768  # px
MAX_PIXELS = 64 * 2**20  # 8192 x 8192: 192 MiB as RGB
STRIP = 256  # rows
FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF")


def read(path: Path | str) -> Image:
    """The picture in a file, whatever its extension says: RGB, 8-bit, upright.

    All pixels are decoded and checked now, then let go: `Image.array()` reads the file again when it is looked
    at. See `decode` for what is done to other modes. Raises ImageError, which names the file.
    """
    path = Path(path)
    pixels = _pixels_of(_bytes_of(path), str(path))
    sha256 = pixel_hash(pixels)

    def again() -> np.ndarray:
        found = _pixels_of(_bytes_of(path), str(path))
        if pixel_hash(found) != sha256:
            raise ImageError(f"{path}: the picture has changed since it was first read")
        return found

    return Image(sha256, pixels.shape[1], pixels.shape[0], again)


def decode(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Image:
    """The picture in `data`, the bytes of a picture file; `name` is what an error calls it.

    Palettes and CMYK become RGB, transparency is laid on white, the EXIF orientation is applied, the first frame
    of an animation is taken, 16-bit samples keep their high byte. Raises ImageError for anything else: truncated,
    too large, float or 32-bit samples, not a picture.
    """
    return Image.from_array(_pixels_of(data, name, max_pixels), copy=False)


def packed(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> Image:
    """As `decode`, but what is kept is `data`, a tenth of its pixels or less: they are decoded whenever they are looked
    at."""
    if len(data) > MAX_FILE_BYTES:
        raise ImageError(f"{name}: {len(data)} bytes, expected at most {MAX_FILE_BYTES}")
    pixels = _pixels_of(data, name, max_pixels)
    return Image(pixel_hash(pixels), pixels.shape[1], pixels.shape[0], lambda: _pixels_of(data, name, max_pixels))


def encode(image: Image) -> bytes:
    """`image` as PNG: the same pixels come back."""
    from PIL import Image as Pillow

    buffer = io.BytesIO()
    Pillow.fromarray(image.array()).save(buffer, "PNG")
    return buffer.getvalue()


def write(image: Image, path: Path | str) -> None:
    """`image` as a PNG file, atomically: the file is there whole or not at all. Raises OSError (disk full)."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(encode(image))
        os.replace(draft, path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


def _bytes_of(path: Path) -> bytes:
    try:
        _check_file(path, os.stat(path))  # before it is opened: opening alone may wait, or start something
        with open(path, "rb", opener=_without_waiting) as file:
            _check_file(path, os.fstat(file.fileno()))
            return file.read(MAX_FILE_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a name that no disk can hold
        if is_environment(error):
            raise
        raise ImageError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _check_file(path: Path, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        what = os.strerror(errno.EISDIR) if stat.S_ISDIR(found.st_mode) else "it is a pipe or a device"
        raise ImageError(f"{path}: cannot be read: {what}")
    if found.st_size > MAX_FILE_BYTES:
        raise ImageError(f"{path}: {found.st_size} bytes, expected at most {MAX_FILE_BYTES}")


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _pixels_of(data: bytes, name: str, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """RGB pixels of a picture file, uint8 [H, W, 3]."""
    from PIL import Image as Pillow
    from PIL import UnidentifiedImageError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata; the pixels are judged below
        warnings.simplefilter("error", Pillow.DecompressionBombWarning)
        try:
            opened = Pillow.open(io.BytesIO(data), formats=FORMATS)
        except (Pillow.DecompressionBombWarning, Pillow.DecompressionBombError) as error:
            raise ImageError(f"{name}: {_too_large(max_pixels)}") from error
        except UnidentifiedImageError as error:
            raise ImageError(
                f"{name}: not a picture that can be read ({len(data)} bytes); expected one of {', '.join(FORMATS)}"
            ) from error
        except Exception as error:  # decoders fail in as many ways as files can be broken
            if is_environment(error):
                raise
            raise ImageError(f"{name}: broken picture: {error}") from error
        with opened:
            if opened.width * opened.height > max_pixels or max(opened.size) > MAX_SIDE:
                raise ImageError(f"{name}: {opened.width} x {opened.height} px, {_too_large(max_pixels)}")
            try:
                return _rgb(opened, name)
            except ImageError:
                raise
            except Exception as error:
                if is_environment(error):
                    raise
                raise ImageError(f"{name}: {_why(opened.format or 'picture', data, error)}") from error


def _too_large(max_pixels: int) -> str:
    return f"larger than the limit of {max_pixels} pixels and {MAX_SIDE} px a side"


def _why(kind: str, data: bytes, error: Exception) -> str:
    """Decoders run dry in the middle of a file with many messages; what the user needs is where it ends."""
    if isinstance(error, (OSError, EOFError, SyntaxError)) and _runs_dry(str(error)):
        return f"{kind} truncated at byte {len(data)}"
    return f"broken {kind}: {error or type(error).__name__}"


def _runs_dry(message: str) -> bool:
    return any(hint in message.lower() for hint in ("truncated", "broken data stream", "broken png", "end of"))


def _rgb(opened: Any, name: str) -> np.ndarray:
    import numpy as np
    from PIL import Image as Pillow
    from PIL import ImageOps

    opened.load()
    if opened.mode == "F":
        raise ImageError(f"{name}: float samples have no fixed range; save the picture with 8 or 16 bits")
    if opened.mode.startswith("I"):
        samples = np.asarray(opened)
        if samples.min() < 0 or samples.max() > 0xFFFF:
            raise ImageError(f"{name}: 32-bit samples; save the picture with 8 or 16 bits")
        # The high byte: what Pillow itself keeps of 16-bit colour.
        exif = opened.getexif()
        opened = Pillow.fromarray((samples >> 8).astype(np.uint8))
        opened.getexif().update(exif)
    ImageOps.exif_transpose(opened, in_place=True)
    picture = opened
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Pillow.alpha_composite(Pillow.new("RGBA", picture.size, (255, 255, 255, 255)), picture)
    return _array(picture if picture.mode == "RGB" else picture.convert("RGB"))


def _array(picture: Any) -> np.ndarray:
    """Pixels of an RGB picture, uint8 [H, W, 3]: by strips, since Pillow's own way holds them three times."""
    import numpy as np

    width, height = picture.size
    pixels = np.empty((height, width, 3), np.uint8)
    for top in range(0, height, STRIP):
        bottom = min(top + STRIP, height)
        pixels[top:bottom] = picture.crop((0, top, width, bottom))
    return pixels
