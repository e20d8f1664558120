# SPDX-License-Identifier: Apache-2.0
"""One thing that is wrong with the inputs, as it is told."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """What the self-check says.

    Attributes:
        name: stable, e.g. "image_frozen".
        text: what it is, and how to mend it.
        source: the camera or frame that it is of; empty: it is clear, or of none.
    """

    name: str
    text: str
    source: str = ""

    @property
    def key(self) -> str:
        """Name and source: no two that last have the same."""
        return f"{self.name} ({self.source})" if self.source else self.name

    @property
    def said(self) -> str:
        """Text and source."""
        return f"{self.text} ({self.source})" if self.source else self.text

    def __str__(self) -> str:
        return f"{self.name}: {self.said}"
