"""A store as it was at one moment, read in slices while it goes on changing.

Snapshots and the state hash need a million keys of one moment, and no turn may wait for a million keys. Even copying the store's tables at
the speed of C takes too long. So a moment copies on write, key by key: from its making on it is told the keys about to be written, and
notes what each held when it was first written again. Its slices then go through the table as it is, in the table's own order (which is how
it lies in memory, four times as fast as any other), and correct what they find by what was noted.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate, filterfalse, islice
from math import inf
from sys import maxsize
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from statemachine.table import Table

Columns = tuple[list[bytes], list[bytes | None], list[int]]
"""Keys, their values (None: a tombstone) and their versions."""

Entry = tuple[bytes | None, int]
"""What a store holds for a key: its value (None: a tombstone) and its version."""

NOTHING: Final[Entry] = (None, 0)
"""For a key that does not exist."""

FORGET_MAX: Final = 1024


class InvalidSnapshot(ValueError):
    """A snapshot is cut short, damaged or not a snapshot; who stored or sent it is to blame."""


class Moment:
    """What a store held when this was made; see the module. The store must call ``remember`` before it writes, ``lose`` before it drops.

    Args:
        entries: the store's table; it goes on changing.

    Attributes:
        past: ``{key: entry}`` of the keys written since, as they were; NOTHING where there was none.
        past_max: beyond so many of them the moment is given up.
        given_up: it notes nothing any more, and forgets the past little by little; ``gone`` when that is done.
    """

    __slots__ = ("_entries", "_lost", "_reached", "given_up", "past", "past_max")

    def __init__(self, entries: Table[Entry]) -> None:
        """Begin now."""
        self._entries = entries
        self._reached = -1  # the last part of the table whose keys were listed; maxsize when no slice needs to know any more
        self._lost: dict[bytes, bool] = {}  # {key dropped since: no slice has told it or will}
        self.past: dict[bytes, Entry] = {}
        self.past_max: float = inf
        self.given_up = False

    def remember(self, keys: Sequence[bytes]) -> None:
        """Note what ``keys`` hold, before they are written; what was noted before stays."""
        if self.given_up:
            self._forget()
            return
        first = list(filterfalse(self.past.__contains__, keys))
        if first:
            self.past.update(zip(first, self._entries.get_many(first, NOTHING), strict=True))
            if len(self.past) > self.past_max:
                self.given_up = True

    def _forget(self) -> None:
        """Let a part of the past go: all of it at once would take as long as a turn may."""
        for _ in range(min(FORGET_MAX, len(self.past))):
            self.past.popitem()

    def gone(self) -> bool:
        """Tell whether the store need not tell this moment anything any more."""
        return self.given_up and not self.past

    def lose(self, keys: Sequence[bytes]) -> None:
        """Note that ``keys`` are about to leave the table; they were remembered."""
        for key in keys if self._reached < maxsize else ():
            if key not in self._lost:
                self._lost[key] = self._entries.part_of(key) > self._reached

    def slices(self, keys_max: int, bytes_max: int) -> Iterator[Columns]:
        """Yield every key of the moment once, in no particular order. To be called once.

        Each slice has ``keys_max`` keys and about ``bytes_max`` bytes of values at most (one value may be larger by itself), and is worked
        out when it is asked for.
        """
        self._entries.pins += 1
        try:
            while self._reached + 1 < self._entries.parts():
                self._reached += 1
                yield from self._cut(self._list_part(self._reached), keys_max, bytes_max)
        finally:
            self._entries.pins -= 1
        self._reached = maxsize
        rest = [key for key, missing in self._lost.items() if missing]
        self._lost.clear()
        yield from self._cut(rest, keys_max, bytes_max)

    def _list_part(self, number: int) -> list[bytes]:
        """List the keys of a part that no slice has told. One that was dropped and came back may have been in another part before."""
        keys = self._entries.part(number)
        back = list(filter(self._lost.__contains__, keys)) if self._lost else ()
        if back:
            keys = [key for key in keys if self._lost.get(key, True)]
            self._lost.update(dict.fromkeys(back, False))
        return keys

    def _cut(self, keys: list[bytes], keys_max: int, bytes_max: int) -> Iterator[Columns]:
        """Read keys, and divide the columns so that each has at most so many keys, and so many bytes of values or one value."""
        rest = iter(keys)
        while piece := list(islice(rest, keys_max)):
            keys, values, versions = self._read(piece)
            ends = list(accumulate(0 if value is None else len(value) for value in values))
            low, before = 0, 0
            while low < len(keys):
                high = max(low + 1, bisect_right(ends, before + bytes_max, low))
                yield keys[low:high], values[low:high], versions[low:high]
                low, before = high, ends[high - 1]

    def _read(self, keys: list[bytes]) -> Columns:
        """Tell what keys held; those that did not exist are left out."""
        entries = self._entries.get_many(keys, NOTHING)
        past = self.past
        if past and not past.keys().isdisjoint(keys):
            entries = list(map(past.get, keys, entries))  # as it is, where none is noted
            keys = [key for key, entry in zip(keys, entries, strict=True) if entry[1]]
            entries = [entry for entry in entries if entry[1]]
        return keys, *columns_of(entries)


def columns_of(entries: list[Entry]) -> tuple[list[bytes | None], list[int]]:
    """Turn entries into a column of values and one of versions."""
    if not entries:
        return [], []
    values, versions = zip(*entries, strict=True)
    return [*values], [*versions]
