"""The pictures of a request: data URLs, and remote addresses only of hosts that the operator named.

A link is input from strangers: its length is checked before it is decoded, the size of the picture before a pixel is,
and no address but an allowed one is ever opened.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import re
from collections.abc import Callable, Iterable

from proofglass import images
from proofglass.errors import ImageError
from proofglass.serve import remote
from proofglass.serve.limits import Limits
from proofglass.serve.messages import Link
from proofglass.serve.problems import bad, shown
from proofglass.types import Image

_HEAD = re.compile(r"data:image/[a-z0-9.+-]{1,40}(;[a-z0-9=.+-]{1,60}){0,4};base64", re.I)
_DECODERS = 2  # pictures decoded at once: each may take some hundred MiB while it is


class LinkedPictures:
    """Reads links within `limits`. hosts: whose pictures are fetched over https; none by default. look_ahead: told each
    picture while its pixels are at hand, in the thread that decodes it (`Victim.look_ahead`)."""

    def __init__(
        self, limits: Limits, hosts: Iterable[str] = (), look_ahead: Callable[[Image], None] | None = None
    ) -> None:
        self.limits, self.hosts = limits, frozenset(host.lower() for host in hosts)
        self.look_ahead = look_ahead
        self._decoding = asyncio.Semaphore(_DECODERS)

    async def read(self, link: Link) -> Image:
        """The picture behind `link`. Raises Problem, which names its place in the request."""
        scheme = link.url[:12].partition(":")[0].lower()
        if scheme == "data":
            async with self._decoding:
                return await asyncio.to_thread(self._from_data_url, link)
        if scheme not in ("http", "https"):
            raise bad(link.where, f"{shown(link.url)}: only data: URLs with base64 are read here", "unsupported_url")
        data = await self._fetched(link)
        async with self._decoding:
            return await asyncio.to_thread(self._decoded, data, link.where)

    async def _fetched(self, link: Link) -> bytes:
        try:
            place = remote.allowed_place(link.url, self.hosts)
            async with asyncio.timeout(self.limits.fetch_s):
                return await remote.fetch(place, self.limits.image_bytes)
        except TimeoutError:
            raise bad(link.where, f"the host took longer than {self.limits.fetch_s:g} s", "unreachable_url") from None
        except remote.Refused as error:
            raise bad(link.where, str(error), error.code) from None

    def _from_data_url(self, link: Link) -> Image:
        head, comma, text = link.url.partition(",")
        if not comma or not _HEAD.fullmatch(head):
            raise bad(link.where, f"expected data:image/TYPE;base64,..., found {shown(link.url)}", "invalid_image")
        self._check_size(len(text) * 3 // 4 - 2, link.where)
        try:
            return self._decoded(base64.b64decode(text, validate=True), link.where)
        except (binascii.Error, ValueError) as error:
            raise bad(link.where, f"not base64: {error}", "invalid_image") from None

    def _decoded(self, data: bytes, where: str) -> Image:
        """Checked whole, shown to the victim, then let go: waiting requests hold files and not pixels."""
        self._check_size(len(data), where)
        try:
            image = images.decode(data, "picture", self.limits.image_pixels)
        except ImageError as error:
            raise bad(where, str(error), "invalid_image") from None
        if self.look_ahead:
            with contextlib.suppress(Exception):  # what is wrong with it, the ask is told
                self.look_ahead(image)
        again = lambda: images.decode(data, "picture", self.limits.image_pixels).array()  # noqa: E731
        return Image(image.sha256, image.width, image.height, again)

    def _check_size(self, size: int, where: str) -> None:
        if size > self.limits.image_bytes:
            raise bad(where, f"{size} bytes, at most {self.limits.image_bytes}", "image_too_large", 413)
