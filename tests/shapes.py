"""Every white-box victim held to the shapes of its port (`interfaces/white_box.py`), whenever a test calls it.

jaxtyping binds the letters of one call over its arguments and what it gives; beartype looks at what is no container (of
a container it would look at one item, drawn at random; here all are looked at). A call that raises is not looked at:
wrong arguments are the victim's to refuse, and only those that it took must fit. Where the port says float32, float64
passes too: finite differences of small modules are taken in it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any

from beartype.door import is_bearable
from jaxtyping import jaxtyped

from proofglass.interfaces import WhiteBoxVictim, white_box

_UNHELD = ContextVar("nothing is looked at", default=False)
PORTS = tuple(
    name
    for name, port in vars(WhiteBoxVictim).items()
    if not name.startswith("_") and isinstance(port, types.FunctionType | property)
)


def install() -> None:
    """From now on each class of white-box victims is held to its port as it is defined."""

    def define(cls: type[WhiteBoxVictim], **named: Any) -> None:
        super(WhiteBoxVictim, cls).__init_subclass__(**named)
        hold(cls)

    hold(WhiteBoxVictim)
    WhiteBoxVictim.__init_subclass__ = classmethod(define)  # type: ignore[assignment,method-assign]


def hold(victim: type[WhiteBoxVictim]) -> None:
    """Let the ports that `victim` itself defines, methods and properties, raise TypeError for what does not fit."""
    for name in PORTS:
        port = vars(victim).get(name)
        if isinstance(port, property):
            assert port.fget is not None
            setattr(victim, name, property(_held(port.fget, name), port.fset, port.fdel, port.__doc__))
        elif isinstance(port, types.FunctionType):
            setattr(victim, name, _held(port, name))


def is_held(victim: type[WhiteBoxVictim], name: str) -> bool:
    """Whether what `victim` does at this port is looked at."""
    port = inspect.getattr_static(victim, name)
    return hasattr(port.fget if isinstance(port, property) else port, "held")


@contextlib.contextmanager
def unheld() -> Iterator[None]:
    """Nothing is looked at meanwhile: for stand-ins that give words, and victims broken on purpose."""
    token = _UNHELD.set(True)
    try:
        yield
    finally:
        _UNHELD.reset(token)


def _held(method: Callable[..., Any], name: str) -> Callable[..., Any]:
    if hasattr(method, "held"):
        return method
    signature = inspect.signature(method)

    @functools.wraps(method)
    def call(*args: Any, **named: Any) -> Any:
        found = method(*args, **named)
        if _UNHELD.get():
            return found
        hints = _promised(name)
        with jaxtyped("context"):
            for argument, value in [*signature.bind(*args, **named).arguments.items(), ("return", found)]:
                for wrong in _misfits(value, hints.get(argument, Any), argument):
                    raise TypeError(f"{method.__qualname__}: {wrong}")
        return found

    call.held = True  # type: ignore[attr-defined]
    return call


@functools.cache
def _names() -> dict[str, Any]:
    """What the annotations of the port name; those of arrays are imported there for type checkers only."""
    from jaxtyping import AbstractDtype, Bool, Float
    from torch import Tensor

    class Float32(AbstractDtype):
        dtypes = ("float32", "float64")

    names = {**vars(white_box), "Bool": Bool, "Float": Float, "Float32": Float32, "Tensor": Tensor}
    names["AnyPixels"] = names["Pixels"] = eval(white_box.AnyPixels, names)
    return names


@functools.cache
def _promised(name: str) -> dict[str, Any]:
    """Argument ("return": what is given) -> its type, at this port of the interface."""
    port = vars(WhiteBoxVictim)[name]
    return typing.get_type_hints(port.fget if isinstance(port, property) else port, _names())


def _misfits(value: Any, hint: Any, place: str) -> Iterator[str]:
    """What of `value` is not of type `hint`, and where."""
    kind, parts = typing.get_origin(hint), typing.get_args(hint)
    if kind in (typing.Union, types.UnionType):
        fits = any(not any(_misfits(value, arm, place)) for arm in parts)
    else:
        fits = is_bearable(value, hint if kind in (None, typing.Literal) else kind)
    if not fits:
        yield _said(value, hint, place)
    elif kind is tuple and ... not in parts and len(value) != len(parts):
        yield f"{place}: expected {len(parts)} items, found {len(value)}"
    else:
        for item, its, where in _items(value, kind, parts, place):
            yield from _misfits(item, its, where)


def _items(value: Any, kind: Any, parts: tuple[Any, ...], place: str) -> Iterator[tuple[Any, Any, str]]:
    """Each thing in `value`, its type, and where it stands; nothing of what is no container."""
    if dataclasses.is_dataclass(kind):
        for name, its in typing.get_type_hints(kind, _names()).items():
            yield getattr(value, name), its, f"{place}.{name}"
    elif kind is Mapping:
        for key, item in value.items():
            yield key, parts[0], f"{place}: key"
            yield item, parts[1], f"{place}[{key!r}]"
    elif kind in (tuple, list, Sequence):
        each = parts if kind is tuple and ... not in parts else parts[:1] * len(value)
        for k, (item, its) in enumerate(zip(value, each, strict=True)):
            yield item, its, f"{place}[{k}]"


def _said(value: Any, hint: Any, place: str) -> str:
    found = f"{value.dtype} {list(value.shape)}" if hasattr(value, "shape") else type(value).__name__
    return f"{place}: expected {getattr(hint, '__name__', hint)}, found {found}"
