# SPDX-License-Identifier: Apache-2.0
"""One configuration value: how it is declared in a dataclass, what is accepted for it, and trees of them."""

import dataclasses
import difflib
import math
import sys
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from lerf_ros.errors import ConfigError

Tree = TypeVar("Tree")
WHEN = ("any time", "unconfigured", "start")
Value = bool | int | float | str | tuple[float, ...] | tuple[str, ...]


def option(
    default: Value,
    help: str,
    *,
    ge: float | None = None,
    le: float | None = None,
    choices: tuple[str, ...] = (),
    when: str = "unconfigured",
) -> Any:
    """Declare one configuration value: its default, description, inclusive range (element-wise) or choices.

    `when` tells when a running node takes a new value: at "any time", while it is "unconfigured", or at its "start"
    alone (read-only).
    """
    return field(default=default, metadata={"help": help, "ge": ge, "le": le, "choices": choices, "when": when})


@dataclass(frozen=True)
class Option:
    """One leaf of the tree, as parameters and documentation need it; `element` is what a tuple holds, else `type`."""

    key: str
    element: type
    type: type
    default: Value
    help: str
    ge: float | None
    le: float | None
    choices: tuple[str, ...]
    when: str

    @property
    def type_name(self) -> str:
        """The type as documentation writes it: bool, int, float, str, float[] or str[]."""
        return self.element.__name__ + ("[]" if self.type is tuple else "")


def check(opt: Option, value: object) -> Value:
    """Return `value` as the option's type.

    Raises:
        ConfigError: wrong type, not finite, out of range, or not one of the choices.
    """
    converted = _convert(opt, value)
    values = converted if isinstance(converted, tuple) else (converted,)
    for number in values:
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            continue
        if isinstance(number, float) and not math.isfinite(number):
            raise ConfigError(f"{opt.key} = {value!r} is not finite")
        if (opt.ge is not None and number < opt.ge) or (opt.le is not None and number > opt.le):
            raise ConfigError(f"{opt.key} = {value!r} is out of range [{opt.ge}, {opt.le}]: {opt.help}")
    if opt.choices and not all(each in opt.choices for each in values):
        raise ConfigError(f"{opt.key} = {value!r} must be one of {', '.join(opt.choices)}")
    return converted


def _convert(opt: Option, value: object) -> Value:
    """Accept an int for a float and a list for a tuple; nothing else changes type."""
    if opt.type is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return _float(value)
    if opt.type is tuple and isinstance(value, (list, tuple)):
        if opt.element is float and all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in value):
            return tuple(_float(v) for v in value)
        if opt.element is str and all(isinstance(v, str) for v in value):
            return tuple(value)
        raise ConfigError(f"{opt.key} = {value!r} must be a list of {opt.element.__name__}")
    if type(value) is not opt.type:
        raise ConfigError(f"{opt.key} = {value!r} must be of type {opt.type_name}, not {type(value).__name__}")
    return value  # type: ignore[return-value]


def _float(number: float) -> float:
    """Return a number as a float, one that is too large for it as infinity."""
    return float(number) if abs(number) <= sys.float_info.max else math.inf


def tree_options(tree: Any) -> Iterator[Option]:
    """Yield every leaf of a dataclass of sections in order, with its metadata; `tree` holds the defaults."""
    for section in dataclasses.fields(tree):
        values = getattr(tree, section.name)
        types = typing.get_type_hints(type(values))
        for each in dataclasses.fields(values):
            meta, default = each.metadata, getattr(values, each.name)
            yield Option(
                f"{section.name}.{each.name}", (*typing.get_args(types[each.name]), type(default))[0], type(default),
                default, meta["help"], meta["ge"], meta["le"], meta["choices"], meta["when"],
            )  # fmt: skip


def leaf(tree: object, key: str) -> Any:
    """Return the value at `section.key`."""
    section, name = key.split(".")
    return getattr(getattr(tree, section), name)


def replaced(tree: Tree, values: Mapping[str, object]) -> Tree:
    """Return `tree`, a dataclass of sections, with the given `{section.key: value}` replaced.

    Raises:
        ConfigError: a key is unknown (the nearest one is named), or a value has the wrong type or is out of range.
    """
    known = {o.key: o for o in tree_options(tree)}
    changes: dict[str, dict[str, Value]] = {}
    for key, value in values.items():
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"unknown parameter {key!r}{hint} (config/lerf.yaml lists them all)")
        section, name = key.split(".")
        changes.setdefault(section, {})[name] = check(known[key], value)
    sections = {name: dataclasses.replace(getattr(tree, name), **new) for name, new in changes.items()}
    new_tree: Tree = dataclasses.replace(tree, **sections)  # type: ignore[type-var]
    return new_tree


def flattened(tree: Mapping[str, object]) -> dict[str, object]:
    """Return `{section.key: value}` of a nested `{section: {key: value}}` mapping.

    Raises:
        ConfigError: a section is not a mapping.
    """
    flat: dict[str, object] = {}
    for section, values in tree.items():
        if not isinstance(values, Mapping):
            raise ConfigError(f"section {section!r} must be a mapping of keys to values, not {values!r}")
        flat.update({f"{section}.{key}": value for key, value in values.items()})
    return flat
