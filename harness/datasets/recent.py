"""The last few subjects' photos in memory; what is remembered does not travel to another process."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """Remembers the last ``size`` values by key."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._known: OrderedDict[str, T] = OrderedDict()

    def get(self, key: str, make: Callable[[], T]) -> T:
        """Return the value of ``key``, made if it is not remembered."""
        if key not in self._known:
            self._known[key] = make()
            if len(self._known) > self.size:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]

    def __reduce__(self) -> tuple[type[Recent[T]], tuple[int]]:
        return type(self), (self.size,)
