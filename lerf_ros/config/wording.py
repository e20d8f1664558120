# SPDX-License-Identifier: Apache-2.0
"""What counts as a phrase: checked alike for parameters and for requests."""

import re

NOT = r"(?:but|and)\s+not|except(?:\s+for)?|excluding|other\s+than"
"""Words that begin what a phrase leaves out."""

_ONLY_NOT = re.compile(rf"[\s,]*(?:{NOT}|not)\s", re.IGNORECASE)


def phrase_fault(phrase: str, max_bytes: int) -> str:
    """Return why a phrase cannot be asked and what to do; "" if it can. Any language and script is fine."""
    if not phrase:
        return "the phrase is empty: name a thing, e.g. 'red mug'"
    if not phrase.strip():
        return "the phrase is only white space: name a thing, e.g. 'red mug'"
    if "\0" in phrase:
        return "the phrase holds a NUL character: send plain text"
    if _ONLY_NOT.match(phrase):
        return "the phrase says only what it is not: name a thing first, e.g. 'mug but not blue mug'"
    try:
        size = len(phrase.encode("utf-8"))
    except UnicodeEncodeError:
        return "the phrase is not valid Unicode text (it holds a lone surrogate)"
    if size > max_bytes:
        return f"the phrase has {size} bytes, more than query.max_phrase_bytes = {max_bytes}"
    return ""
