"""A guarded victim for others: any victim behind any stack of defenses, on an OpenAI-compatible HTTP endpoint.

`create_app` is the application, `Limits` what it takes from its callers. Needs the extra `serve`.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from proofglass.errors import MissingExtra
from proofglass.serve.limits import Limits

if TYPE_CHECKING:
    from fastapi import FastAPI

    from proofglass.interfaces import Victim

__all__ = ["Limits", "create_app", "require"]


def require() -> None:
    """Raise MissingExtra unless the packages of the extra `serve` are there."""
    missing = [package for package in ("fastapi", "uvicorn") if find_spec(package) is None]
    if missing:
        raise MissingExtra(f'serve: {" and ".join(missing)} not installed. Run: pip install -e ".[serve]"')


def create_app(victim: Victim, **options: Any) -> FastAPI:
    """`serve.app.create_app`, loaded on first use. Raises MissingExtra without the extra `serve`."""
    require()
    from proofglass.serve.app import create_app as create

    return create(victim, **options)
