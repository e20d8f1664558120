# SPDX-License-Identifier: Apache-2.0
"""What may be asked. One bad phrase spoils only its own answer; a bad request is refused whole.

CLIP does not know "not": "a mug but not a blue mug" embeds like "a blue mug". Such phrases are taken apart here.
"""

import math
import re
from collections.abc import Sequence

from lerf_ros.config import QueryConfig, wording
from lerf_ros.errors import PromptError

Corner = tuple[float, float, float]

_BUT_NOT = re.compile(rf"\s*,\s*(?:{wording.NOT}|not)\s+|\s+(?:{wording.NOT})\s+", re.IGNORECASE)
_OR = re.compile(r"\s*,\s*(?:n?or\s+)?|\s+n?or\s+", re.IGNORECASE)


def split_negation(phrase: str) -> tuple[str, tuple[str, ...]]:
    """Return what a phrase asks for, and what it says it is not.

    "a mug, but not a blue mug or a cup" is ("a mug", ("a blue mug", "a cup")); a phrase without a negation is itself. A
    bare "not" inside a name ("forget me not") is none.
    """
    wanted, *unwanted = _BUT_NOT.split(phrase)
    return (wanted, tuple(part.strip() for each in unwanted for part in _OR.split(each) if part.strip()))


def phrase_fault(phrase: str, config: QueryConfig) -> str:
    """Return why a phrase cannot be asked and what to do; "" if it can. Any language and script is fine."""
    return wording.phrase_fault(phrase, config.max_phrase_bytes)


def check_request(
    prompts: Sequence[str],
    negatives: Sequence[str],
    within: str,
    region: tuple[Corner, Corner] | None,
    config: QueryConfig,
) -> None:
    """Refuse a request that cannot be answered at all.

    Raises:
        PromptError: no prompts, too many, an unusable negative or `within`, or a region that is no box.
    """
    if not prompts:
        raise PromptError("the request holds no prompts: give at least one phrase")
    for name, phrases in (("prompts", prompts), ("negatives", negatives)):
        if len(phrases) > config.max_prompts:
            raise PromptError(f"{len(phrases)} {name} are more than query.max_prompts = {config.max_prompts}")
    for name, phrases in (("negatives", negatives), ("within", (within,) if within else ())):
        for phrase in phrases:
            if fault := phrase_fault(phrase, config):
                raise PromptError(f"{name}: {fault}")
    if region is not None:
        low, high = region
        if not all(map(math.isfinite, (*low, *high))) or any(a >= b for a, b in zip(low, high, strict=True)):
            raise PromptError(f"region {low} .. {high} is no box: lower bounds must be below upper bounds, metres")
