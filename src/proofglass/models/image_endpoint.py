"""A text-to-image model behind an OpenAI-compatible address: a provider's, or a server that the user runs."""

from __future__ import annotations

import base64
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from proofglass import images
from proofglass.errors import ImageError, MissingExtra, UsageError
from proofglass.interfaces import Count, NonNegative, Painter, Positive, Steps, Text
from proofglass.types import Ask, Cost, Reply

if TYPE_CHECKING:
    from openai import OpenAI


@dataclass(frozen=True)
class ImageEndpoint(Painter):
    """Pictures from `POST {base_url}/images/generations`, one a prompt.

    model: as the server names it. base_url: where it is, such as http://127.0.0.1:8000/v1. size: of the pictures,
    "WIDTHxHEIGHT". seed: sent to servers that take one, plus the number of the draw; None: none is sent. key_env: the
    environment variable with the key, which is stored nowhere; a server of one's own needs none. price: of one picture
    in USD, for the account. parallel: requests at a time. retries: of a request that met 429, 5xx or a broken line.
    timeout_s: of one request, in seconds.

    A prompt that the server refuses (400: its content filter) is a reply of outcome "refused"; a 400 that names another
    parameter is an error of the configuration and stops the run. Any other answer without a picture (a status, no
    JSON, junk, nothing in time) is an error of that prompt. Where a whole batch met no server that works (no
    connection, 429, 502 to 504), nothing is recorded and the run stops, so that the next one asks again.
    """

    name = "image-endpoint"
    not_in_key = ("key_env", "price", "parallel", "retries", "timeout_s")

    model: Text
    base_url: Text
    size: Text = "1024x1024"
    seed: int | None = None
    key_env: Text = "OPENAI_API_KEY"
    price: NonNegative = 0.0
    parallel: Count = 4
    retries: Steps = 3
    timeout_s: Positive = 120.0

    def __post_init__(self) -> None:
        where = urlsplit(self.base_url)
        if where.scheme not in ("http", "https") or not where.netloc or "@" in where.netloc:
            raise ValueError(f"base_url: expected an address such as http://127.0.0.1:8000/v1, found {self.base_url!r}")

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        """Raises UsageError for a key or a parameter that is not accepted, and where no server works for any ask."""
        client = self._client
        with ThreadPoolExecutor(self.parallel) as pool:
            found = list(pool.map(lambda ask: self._one(client, ask), asks))
        if found and all(away for _, away in found):
            raise UsageError(f"{self.name}: {self.base_url} gave no picture: {found[0][0].reason}")
        return [reply for reply, _ in found]

    def _one(self, client: OpenAI, ask: Ask) -> tuple[Reply, bool]:
        """The reply, and whether there was no server that works."""
        import openai

        cost = Cost(queries=1, money=self.price)
        try:
            answer = client.images.generate(
                model=self.model,
                prompt=ask.chat.last_text,
                n=1,
                size=self.size,
                response_format="b64_json",
                **self._seeded(ask),
            )
        except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError) as error:
            raise UsageError(f"{self.name}: {self.base_url} refuses the request: {_said(error)}") from error
        except openai.BadRequestError as error:
            if error.param not in (None, "prompt"):
                raise UsageError(
                    f"{self.name}: {self.base_url} does not take {error.param!r}: {_said(error)}"
                ) from error
            said = f"the image server refuses the prompt: {_said(error)}"
            return Reply(outcome="refused", reason=said, cost=cost), False
        except openai.OpenAIError as error:
            return Reply.error(f"the image server failed: {_said(error)}", Cost(queries=1)), _is_away(error)
        except UnicodeEncodeError as error:
            return Reply.error(f"the prompt cannot be sent: {_said(error)}", Cost(queries=1)), False
        except (ValueError, RecursionError) as error:
            return Reply.error(f"the image server sent no JSON: {_said(error)}", Cost(queries=1)), False
        try:
            data = base64.b64decode(answer.data[0].b64_json, validate=True)
            return Reply(images=(images.packed(data, "the picture of the image server"),), cost=cost), False
        except (ImageError, ValueError, TypeError, LookupError, AttributeError) as error:
            return Reply.error(f"the image server sent no picture: {_said(error)}", cost), False

    def _seeded(self, ask: Ask) -> dict[str, Any]:
        return {} if self.seed is None else {"extra_body": {"seed": self.seed + ask.settings.draw}}

    @cached_property
    def _client(self) -> OpenAI:
        try:
            from openai import OpenAI
        except ImportError as error:
            raise MissingExtra("openai is not installed. Run: pip install 'proofglass[api]'") from error
        key = os.environ.get(self.key_env, "none")
        return OpenAI(api_key=key, base_url=self.base_url, timeout=self.timeout_s, max_retries=self.retries)


def _is_away(error: Exception) -> bool:
    """Whether no server was there to draw, whatever the prompt; one that took too long may have met a hard prompt."""
    import openai

    if isinstance(error, openai.APIStatusError):
        return error.status_code in (429, 502, 503, 504)
    return isinstance(error, openai.APIConnectionError) and not isinstance(error, openai.APITimeoutError)


def _said(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]
