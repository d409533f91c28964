"""Black-box victims behind an API: OpenAI, Anthropic, Google, a vLLM or SGLang server, whatever Inspect AI reaches.

What an API runs is not ours to see and may change under the same name, so an answer belongs to the run that asked
for it: the key of the victim holds the run, and nothing is taken over from another run. Within a run nothing that was
answered is asked, or paid, again; see `api.ledger`.
"""

from __future__ import annotations

import dataclasses
import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit
from weakref import WeakValueDictionary

from proofglass.interfaces import Count, Positive, Victim, key_of
from proofglass.records.journal import batch_key
from proofglass.types import Ask, Reply
from proofglass.victims.api import ledger as ledgers
from proofglass.victims.api import loop, prices
from proofglass.victims.api.cache import Cache
from proofglass.victims.api.calls import Calls
from proofglass.victims.api.ledger import Caps, Ledger
from proofglass.victims.api.limits import Backoff, Pace
from proofglass.victims.api.prices import Price
from proofglass.victims.api.provider import Provider, check_options

_PROCESS = uuid.uuid4().hex  # what stands for a run outside of one
_OPEN: WeakValueDictionary[Path, Ledger] = WeakValueDictionary()


@dataclass(frozen=True)
class ApiVictim(Victim):
    """A model behind an API, asked through Inspect AI's provider for it.

    model: "provider/name": openai/gpt-4o, anthropic/..., google/..., vllm/..., sglang/..., openai-api/SERVICE/...
    base_url: where the API is, "" the provider's own; vllm, sglang and openai-compatible need one (or its variable,
    such as VLLM_BASE_URL). provider: stands before `model` (the name openai-compatible sets it). auth_env:
    environment variable that holds the key, "" the provider's own. options: further fields of Inspect's
    GenerateConfig, such as {reasoning_effort: low, seed: 1}.

    connections: requests under way at once. requests_per_minute: how many are sent at most; None: no limit of ours.
    tokens_per_minute: how many are asked for at most; None: no limit of ours. attempts: how often an ask is sent at
    most. timeout_s: how long an attempt may take. backoff_s: longest wait before the second attempt, twice as long
    before the third and so on, a minute at most. longest_wait_s: longest wait that a server may ask for. budget_usd:
    most that this victim may cost in this run, kept over resumes, as the two that follow; None: no limit.
    budget_tokens: most tokens, of asks and replies together; None: no limit. budget_calls: most calls; None: no limit.
    prices: YAML file (see `api.prices`). cache: folder of answers to asks at temperature 0, None: no cache. ledger:
    folder for ledgers, None: the run's; outside a run: none, and budgets hold for this process.

    Raises ValueError for a field that cannot be, UsageError if budget_usd is set and the price is unknown; when it is
    first asked: MissingExtra, or UsageError for a missing key or address.
    """

    model: str
    base_url: str = ""
    provider: str = ""
    auth_env: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)
    connections: Count = 20
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    attempts: Count = 6
    backoff_s: Positive = 1.0
    timeout_s: Positive = 120.0
    longest_wait_s: Positive = 300.0
    budget_usd: Positive | None = None
    budget_tokens: Count | None = None
    budget_calls: Count | None = None
    prices: Path | None = None
    cache: Path | None = None
    ledger: Path | None = None

    name = "api"
    not_in_key = (
        "auth_env", "connections", "requests_per_minute", "tokens_per_minute", "attempts", "backoff_s", "timeout_s",
        "longest_wait_s", "budget_usd", "budget_tokens", "budget_calls", "prices", "cache", "ledger",
    )  # fmt: skip
    _run: ClassVar[tuple[Path, str] | None] = None  # folder and id of the run, set by `in_run` on the instance

    def __post_init__(self) -> None:
        if not self.provider and not re.fullmatch(r"[\w.-]+/\S+", self.model):
            raise ValueError(f"model: expected provider/name, such as openai/gpt-4o, found {self.model!r}")
        if self.provider and not re.fullmatch(r"[\w.-]+", self.provider):
            raise ValueError(f"provider: expected a name, such as openai-compatible, found {self.provider!r}")
        parts = urlsplit(self.base_url)
        if self.base_url and (parts.scheme not in ("http", "https") or not parts.netloc or parts.query):
            raise ValueError(f"base_url: expected an address such as http://127.0.0.1:8000/v1, found {self.base_url!r}")
        if parts.username or parts.password:
            raise ValueError("base_url: expected no user or password in it; name the variable of a key: auth_env")
        if self.auth_env and not re.fullmatch(r"[A-Za-z_]\w*", self.auth_env):
            raise ValueError("auth_env: expected the name of an environment variable, not the key itself")
        if self.budget_usd is not None:
            prices.needed(self.full_name, self.prices)

    @property
    def full_name(self) -> str:
        """ "provider/name"."""
        return f"{self.provider}/{self.model}" if self.provider else self.model

    @property
    def key(self) -> str:
        """Holds the model, its address, its options and the run; not how fast it is asked or what it may cost."""
        return key_of([self._identity, self._series])

    @property
    def _identity(self) -> list[Any]:
        return [type(self).__name__, self.version, self.full_name, self.base_url, self.options]

    @property
    def _series(self) -> str:
        """Whose answers belong together: the run's, else those of one folder of ledgers, else of this process."""
        if self._run:
            return self._run[1]
        return str(self.ledger.resolve()) if self.ledger else _PROCESS

    def in_run(self, folder: Path, run: str) -> Self:
        own = dataclasses.replace(self)
        object.__setattr__(own, "_run", (folder, run))
        return own

    @property
    def ledger_folder(self) -> Path | None:
        """Where this victim's ledger lies, None if there is none."""
        root = self.ledger if self.ledger else self._run and self._run[0] / "ledger"
        label = re.sub(r"[^\w.-]+", "-", self.full_name)[:60]
        return root / f"{label}-{key_of(self._identity)[:8]}" if root else None

    def reply(self, asks: Sequence[Ask]) -> list[Reply]:
        if not asks:
            return []
        batch = batch_key(self.key, asks)
        return loop.run(self._calls.answer([f"{batch}:{k}" for k in range(len(asks))], asks))

    @cached_property
    def _price(self) -> Price | None:
        return prices.find(self.full_name, self.prices)

    @cached_property
    def _calls(self) -> Calls:
        price = self._price
        image_tokens = (price and price.image_tokens) or 0
        provider = Provider(self.full_name, self.base_url, self.auth_env, self.options, self.timeout_s, image_tokens)
        check_options(self.options)
        origin = {"model": self.full_name, "address": provider.address, "options": dict(self.options)}
        return Calls(
            provider=provider,
            ledger=_opened(self.ledger_folder),
            budget=Caps(self.budget_usd, self.budget_tokens, self.budget_calls),
            pace=Pace(self.requests_per_minute, self.tokens_per_minute),
            cache=Cache(self.cache, origin) if self.cache else None,
            price=price,
            connections=self.connections,
            attempts=self.attempts,
            longest_wait_s=self.longest_wait_s,
            backoff=Backoff(self.backoff_s),
        )

    def card(self) -> dict[str, Any]:
        """Also what the ledger holds so far: calls, tokens, and the names that the API gave its model. money: USD that
        are surely spent, that may have been billed without our knowing, and the cap (None: none); left out where the
        price is unknown."""
        price = self._price
        caveats = ["An API: its weights are unknown and may change under the same name. These figures are of this run."]
        if price is None:
            caveats.append("The price of a token is unknown: money is 0 in the records, tokens are counted.")
        elif not price.verified:
            caveats.append("The price was not read at the provider itself: check it before you rely on the money.")
        return {
            "name": self.full_name,
            "address": self.base_url or "the provider's own",
            "weights": "unknown",
            "price": dataclasses.asdict(price) if price else "unknown",
            "budget": {"usd": self.budget_usd, "tokens": self.budget_tokens, "calls": self.budget_calls},
            **self._spent(),
            "caveats": caveats,
        }

    def _spent(self) -> dict[str, Any]:
        folder = self.ledger_folder
        calls: Calls | None = self.__dict__.get("_calls")
        book = calls.ledger.book if calls else ledgers.read(folder / ledgers.FILE)[0] if folder else ledgers.Book()
        possibly = book.committed - book.known
        money = {"spent": book.known.money, "possibly_paid": possibly.money, "cap": self.budget_usd, "currency": "USD"}
        is_known = self._price is not None or bool(book.known.money)  # some APIs state what a call costs
        return {
            **({"money": money} if is_known else {}),
            "reported_models": dict(book.models),
            "spent": dataclasses.asdict(book.known),
            "possibly_paid": dataclasses.asdict(possibly),
            "failed_attempts": dict(book.failures),
        }


def _opened(folder: Path | None) -> Ledger:
    """The ledger of `folder`; one for all victims of this process that name it."""
    if folder is None:
        return Ledger(None)
    found = _OPEN.get(folder.resolve())
    if found is None:
        found = _OPEN[folder.resolve()] = Ledger(folder)
    return found
