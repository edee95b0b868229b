"""A list that forgets its beginning and keeps its places: what came last of something that goes on for hours."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar, overload

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")


class Tail(Generic[T]):
    """Items by place, from 0 as if none had been forgotten.

    Attributes:
        first: Place of the first item that is still there.
    """

    def __init__(self) -> None:
        self.first = 0
        self._items: list[T] = []

    def __len__(self) -> int:
        """Return how many there ever were."""
        return self.first + len(self._items)

    def __iter__(self) -> Iterator[T]:
        return iter(self._items)

    def __reversed__(self) -> Iterator[T]:
        return reversed(self._items)

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> list[T]: ...
    def __getitem__(self, place: int | slice) -> T | list[T]:
        """Return the item at a place, or those of a slice that are still there; both count from the beginning."""
        if isinstance(place, slice):
            start, stop, step = place.indices(len(self))
            assert step == 1
            return self._items[max(0, start - self.first) : max(0, stop - self.first)]
        if not self.first <= place < len(self):
            raise IndexError(place)
        return self._items[place - self.first]

    def append(self, item: T) -> None:
        """Put an item behind the others."""
        self._items.append(item)

    def forget(self, place: int) -> list[T]:
        """Forget, and return, what is before a place."""
        count = max(0, min(place, len(self)) - self.first)
        gone, self._items = self._items[:count], self._items[count:]
        self.first += count
        return gone
