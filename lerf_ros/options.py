# SPDX-License-Identifier: Apache-2.0
"""One configuration value: how it is declared in a dataclass, and what is accepted for it."""

import math
from dataclasses import dataclass, field
from typing import Any

from lerf_ros.errors import ConfigError

Value = bool | int | float | str | tuple[float, ...] | tuple[str, ...]


def option(
    default: Value,
    help: str,
    *,
    ge: float | None = None,
    le: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    """Declare one configuration value: its default, description, inclusive range (element-wise) or choices."""
    return field(default=default, metadata={"help": help, "ge": ge, "le": le, "choices": choices})


@dataclass(frozen=True)
class Option:
    """One leaf of the tree, as parameters and documentation need it."""

    key: str
    type: type
    default: Value
    help: str
    ge: float | None
    le: float | None
    choices: tuple[str, ...]


def check(opt: Option, value: object) -> Value:
    """Return `value` as the option's type.

    Raises:
        ConfigError: wrong type, not finite, out of range, or not one of the choices.
    """
    converted = _convert(opt, value)
    numbers = converted if isinstance(converted, tuple) else (converted,)
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            continue
        if not math.isfinite(number):
            raise ConfigError(f"{opt.key} = {value!r} is not finite")
        if (opt.ge is not None and number < opt.ge) or (opt.le is not None and number > opt.le):
            raise ConfigError(f"{opt.key} = {value!r} is out of range [{opt.ge}, {opt.le}]")
    if opt.choices and converted not in opt.choices:
        raise ConfigError(f"{opt.key} = {value!r} must be one of {', '.join(opt.choices)}")
    return converted


def _convert(opt: Option, value: object) -> Value:
    """Accept an int for a float and a list for a tuple; nothing else changes type."""
    if opt.type is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if opt.type is tuple and isinstance(value, (list, tuple)):
        return tuple(float(v) if isinstance(v, (int, float)) else str(v) for v in value)  # type: ignore[return-value]
    if type(value) is not opt.type:
        raise ConfigError(f"{opt.key} = {value!r} must be of type {opt.type.__name__}, not {type(value).__name__}")
    return value  # type: ignore[return-value]
