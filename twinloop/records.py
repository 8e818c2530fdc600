"""Classes of fields, as those of ``dataclasses``, whose methods are made when they are called first.

Belongs here: ``dataclass``, for every module that a run imports before it begins. Never: a class.

The standard library compiles up to six methods for each class while its module is imported, two thirds of a
millisecond, and most of two hundred classes are never compared, hashed or shown in a run, many never made.
Here a class gets placeholders: the first call of one compiles that method alone and puts it in the
placeholder's stead, so that every other call costs what it costs with the standard library's. What
``dataclasses.fields``, ``replace``, ``asdict`` and ``astuple`` need is as they expect it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from reprlib import recursive_repr
from typing import TYPE_CHECKING, Any

_MISSING = dataclasses.MISSING


def _record(
    cls: Any = None,
    /,
    *,
    eq: bool = True,
    frozen: bool = False,
    slots: bool = False,
    kw_only: bool = False,
) -> Any:
    """As ``dataclasses.dataclass`` with these arguments. No field is a ``ClassVar`` or an ``InitVar``."""
    if cls is None:
        return lambda found: _record(found, eq=eq, frozen=frozen, slots=slots, kw_only=kw_only)
    own = dict(cls.__dict__)
    made = dataclasses.dataclass(init=False, repr=False, eq=False, slots=slots, kw_only=kw_only)(cls)
    methods: dict[str, Any] = {"__init__": _later(made, "__init__", frozen)}
    if "__repr__" not in own:
        methods["__repr__"] = _repr
    if eq and "__eq__" not in own:
        methods["__eq__"] = _later(made, "__eq__", frozen)
    if frozen:
        _freeze(made, methods)
        if slots:
            methods["__getstate__"], methods["__setstate__"] = _state, _set_state
    if eq and own.get("__hash__") is None:  # Python sets None beside an __eq__ of one's own
        methods["__hash__"] = _later(made, "__hash__", frozen) if frozen else None
    for name, method in methods.items():
        if name in ("__init__", "__hash__") or name not in own:
            setattr(made, name, method)
    return made


def _later(cls: Any, name: str, frozen: bool) -> Callable[..., Any]:
    """Stands where a method will: makes it, puts it there, calls it."""

    def placeholder(self: Any, *arguments: Any, **named: Any) -> Any:
        method = _MAKERS[name](cls, frozen)
        method.__qualname__ = f"{cls.__qualname__}.{name}"
        method.__module__ = cls.__module__
        setattr(cls, name, method)
        return method(self, *arguments, **named)

    placeholder.__name__, placeholder.__qualname__ = name, f"{cls.__qualname__}.{name}"
    return placeholder


def _compiled(name: str, parameters: str, lines: list[str], known: dict[str, Any]) -> Any:
    body = "".join(f"    {line}\n" for line in lines)
    exec(f"def {name}(self{parameters}):\n{body}", known)  # noqa: S102  # names of fields, as the standard library
    return known[name]


def _init(cls: Any, frozen: bool) -> Any:
    known: dict[str, Any] = {"_set": object.__setattr__, "_nothing": _MISSING}
    parameters: dict[bool, list[str]] = {False: [], True: []}
    lines = []
    for index, one in enumerate(dataclasses.fields(cls)):
        value = one.name
        if one.default_factory is not _MISSING:
            known[f"_new{index}"] = one.default_factory
            value = (
                f"_new{index}() if {one.name} is _nothing else {one.name}" if one.init else f"_new{index}()"
            )
            default = "=_nothing"
        elif one.default is not _MISSING:
            known[f"_default{index}"] = one.default
            default = f"=_default{index}"
        else:
            default = ""
        if one.init:
            parameters[bool(one.kw_only)].append(f"{one.name}{default}")
        elif one.default_factory is _MISSING:
            continue  # whoever has it sets it
        lines.append(f'_set(self, "{one.name}", {value})' if frozen else f"self.{one.name} = {value}")
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    named = ["*", *parameters[True]] if parameters[True] else []
    return _compiled(
        "__init__", "".join(f", {one}" for one in [*parameters[False], *named]), lines or ["pass"], known
    )


def _values(cls: Any, of: str, use: Callable[[Any], bool]) -> str:
    return "(" + "".join(f"{of}.{one.name}, " for one in dataclasses.fields(cls) if use(one)) + ")"


def _eq(cls: Any, frozen: bool) -> Any:
    ours, theirs = (_values(cls, of, lambda one: one.compare) for of in ("self", "other"))
    lines = [
        "if other.__class__ is self.__class__:",
        f"    return {ours} == {theirs}",
        "return NotImplemented",
    ]
    return _compiled("__eq__", ", other", lines, {})


def _hash(cls: Any, frozen: bool) -> Any:
    values = _values(cls, "self", lambda one: one.compare if one.hash is None else one.hash)
    return _compiled("__hash__", "", [f"return hash({values})"], {})


_MAKERS: dict[str, Callable[[Any, bool], Any]] = {"__init__": _init, "__eq__": _eq, "__hash__": _hash}


@recursive_repr()
def _repr(self: Any) -> str:
    shown = [f"{one.name}={getattr(self, one.name)!r}" for one in dataclasses.fields(self) if one.repr]
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _freeze(cls: Any, methods: dict[str, Any]) -> None:
    names = frozenset(one.name for one in dataclasses.fields(cls))

    def set_(self: Any, name: str, value: Any) -> None:
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")
        super(cls, self).__setattr__(name, value)

    def delete(self: Any, name: str) -> None:
        if type(self) is cls or name in names:
            raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")
        super(cls, self).__delattr__(name)

    methods["__setattr__"], methods["__delattr__"] = set_, delete


def _state(self: Any) -> list[Any]:
    return [getattr(self, one.name) for one in dataclasses.fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for one, value in zip(dataclasses.fields(self), state, strict=False):
        object.__setattr__(self, one.name, value)


if TYPE_CHECKING:
    from dataclasses import dataclass
else:
    dataclass = _record

__all__ = ["dataclass"]
