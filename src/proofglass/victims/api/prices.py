"""What tokens cost: a YAML file that the user can edit, US dollars per million tokens.

The file in use: the victim's `prices`, else $PROOFGLASS_PRICES; its entries come before those that are shipped.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from proofglass.errors import UsageError

SHIPPED = Path(__file__).parent.parent / "prices.yaml"
VARIABLE = "PROOFGLASS_PRICES"


@dataclass(frozen=True)
class Price:
    """Of one model. input, output: USD per million tokens. cached, cache_write: of input read from and written to the
    provider's prompt cache, None: as input. image_tokens: upper bound per picture, None: from its size.

    date: when the price was read; source: address; verified: whether it was read at the provider itself.
    """

    input: float
    output: float
    cached: float | None = None
    cache_write: float | None = None
    image_tokens: int | None = None
    date: str = ""
    source: str = ""
    verified: bool = False

    def money(self, tokens_in: int, tokens_out: int, cached: int = 0, cache_write: int = 0) -> float:
        """USD. tokens_in: at the full rate, without the cached ones."""
        cached_rate = self.input if self.cached is None else self.cached
        write_rate = self.input if self.cache_write is None else self.cache_write
        paid = tokens_in * self.input + tokens_out * self.output + cached * cached_rate + cache_write * write_rate
        return paid / 1e6


def find(model: str, file: Path | None = None) -> Price | None:
    """The price of `model` ("provider/name"), None if no file knows it. Raises UsageError for a file that is wrong."""
    for path in _files(file):
        listed = _read(path)
        if model in listed:
            return _price(path, model, listed[model])
    return None


def needed(model: str, file: Path | None = None) -> Price:
    """The price of `model`. Raises UsageError that says which line to add to which file."""
    price = find(model, file)
    if price is not None:
        return price
    path = _files(file)[0]
    line = f"`  {model}: {{input: USD, output: USD}}`"
    if path == SHIPPED:
        where = f"Write a file with the lines `models:` and {line} and name it in `prices:` or ${VARIABLE}"
    else:
        where = f"Add the line {line} after line {_models_line(path)}, `models:`"
    raise UsageError(
        f"{path}: no price of {model!r}, and budget_usd is set: what a call costs is unknown. {where} "
        "(USD per million tokens, from the provider's price list; 0 for a server of your own)."
    )


def _files(file: Path | None) -> list[Path]:
    named = file or (Path(os.environ[VARIABLE]) if os.environ.get(VARIABLE) else None)
    return [named.expanduser(), SHIPPED] if named else [SHIPPED]


def _read(path: Path) -> dict[str, Any]:
    """model -> its entry."""
    import yaml

    try:
        told = yaml.safe_load(path.read_text())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror or error}. Expected a file of prices.") from error
    except yaml.YAMLError as error:
        raise UsageError(f"{path}: no YAML: {' '.join(str(error).split())}") from error
    models = told.get("models") if isinstance(told, dict) else None
    if not isinstance(models, dict):
        raise UsageError(
            f"{path}: found no `models:`. Expected `models:` and below it `name: {{input: 1, output: 2}}`."
        )
    return models


def _price(path: Path, model: str, told: Any) -> Price:
    names = [field.name for field in fields(Price)]
    if not isinstance(told, dict) or not {"input", "output"} <= set(told) or not set(told) <= set(names):
        raise UsageError(f"{path}: {model}: found {told!r}. Expected input and output, and of {', '.join(names[2:])}.")
    for name in ("input", "output", "cached", "cache_write", "image_tokens"):
        value = told.get(name)
        is_price = isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < math.inf
        if name in told and not is_price:
            raise UsageError(f"{path}: {model}.{name}: found {value!r}. Expected a number, 0 or more.")
    return Price(**{**told, "date": str(told.get("date", "")), "verified": told.get("verified") is True})


def _models_line(path: Path) -> int:
    """The line of `models:`, from 1."""
    import yaml

    node: Any = yaml.compose(path.read_text())
    line: int = next(key.start_mark.line + 1 for key, _ in node.value if key.value == "models")
    return line
