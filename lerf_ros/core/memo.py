# SPDX-License-Identifier: Apache-2.0
"""What is worked out once for an object that never changes, and forgotten with it."""

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from weakref import WeakKeyDictionary

V = TypeVar("V")


@dataclass
class _Cell(Generic[V]):
    """One value. Who comes while it is being made waits for that one alone."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    made: tuple[V, ...] = ()


class Memo(Generic[V]):
    """Values by object and key, from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._cells: WeakKeyDictionary[object, dict[Hashable, _Cell[V]]] = WeakKeyDictionary()

    def get(self, owner: object, key: Hashable, make: Callable[[], V]) -> V:
        """Return the value of an owner, made by the first who asks."""
        with self._lock:
            cell = self._cells.setdefault(owner, {}).setdefault(key, _Cell())
        with cell.lock:
            if not cell.made:
                cell.made = (make(),)
            return cell.made[0]
