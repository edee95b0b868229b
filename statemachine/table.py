"""A map from keys to items that takes columns at the speed of C and grows without a pause.

A ``dict`` alone does the first: ``update(zip(keys, items))``, ``map(get, keys)``. But a dict that grows past 700 thousand keys copies
itself in one go, 40 ms on a small machine with warm memory and 200 ms with cold, longer than any turn may take. So a table is one dict
while it is small, which serves hot and small key spaces at full speed; when it has ``FLAT_MAX`` keys it starts ``SHARDS`` dicts, whose
growth is short and does not come all at once, puts new keys there and moves the old ones after them, some with every batch.

Shards are chosen by crc32, not by ``hash``: the order of keys is then the same in every process.

Rejected: shards from the start (each batch pays a step of Python per key, also where one call would do), leaving the first dict as it is
(each lookup of another key then misses there first, and memory is slow), and giving a dict its final size beforehand (Python has no way to
say it).
"""

from __future__ import annotations

from itertools import chain, islice, repeat
from typing import TYPE_CHECKING, ClassVar, Generic, TypeVar, overload
from zlib import crc32

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

Item = TypeVar("Item")
Default = TypeVar("Default")


class Table(Generic[Item]):
    """A map from key to item; see the module. Items are never None.

    Attributes:
        pins: who goes through the parts one after the other adds one to it for as long: no key changes its part while it is not 0.

    Invariant: a key is in ``_flat`` or in its shard, never in both; there are no shards until ``_flat`` is full or ``expect`` foresaw it.
    """

    FLAT_MAX: ClassVar[int] = 80_000
    """Below the 87,381 at which a dict of CPython doubles to a table that takes more than 5 ms to make."""
    SHARDS: ClassVar[int] = 64
    """A power of two: 11 million keys until one shard takes 10 ms to grow."""
    MOVE_MAX: ClassVar[int] = 128
    """Keys that move to their shards with each batch: less than 0.2 ms."""

    __slots__ = ("_flat", "_shards", "pins")

    def __init__(self) -> None:
        """Begin empty."""
        self._flat: dict[bytes, Item] = {}
        self._shards: tuple[dict[bytes, Item], ...] = ()
        self.pins = 0

    def expect(self, count: int) -> None:
        """Prepare an empty table for so many keys, which need not move then."""
        assert not len(self)
        if count >= self.FLAT_MAX:
            self._shards = tuple({} for _ in range(self.SHARDS))

    def __len__(self) -> int:
        """Number of keys."""
        return len(self._flat) + sum(map(len, self._shards))

    def __contains__(self, key: bytes) -> bool:
        """Tell whether the key is there."""
        return key in self._flat or (bool(self._shards) and key in self._shard(key))

    def __iter__(self) -> Iterator[bytes]:
        """All keys, in no order that would be the same on another replica."""
        return chain(self._flat, *self._shards)

    def _shard(self, key: bytes) -> dict[bytes, Item]:
        return self._shards[crc32(key) & (self.SHARDS - 1)]

    @overload
    def get(self, key: bytes) -> Item | None: ...
    @overload
    def get(self, key: bytes, default: Default) -> Item | Default: ...
    def get(self, key: bytes, default: Default | None = None) -> Item | Default | None:
        """Look one key up."""
        item = self._flat.get(key)
        if item is None:
            return self._shard(key).get(key, default) if self._shards else default
        return item

    def get_many(self, keys: Sequence[bytes], default: Default) -> list[Item | Default]:
        """Look a column of keys up; the items come in its order."""
        flat, shards, mask = self._flat, self._shards, self.SHARDS - 1
        if not shards:
            return list(map(flat.get, keys, repeat(default)))
        if not flat:
            return [shards[crc32(key) & mask].get(key, default) for key in keys]
        return [flat[key] if key in flat else shards[crc32(key) & mask].get(key, default) for key in keys]

    def put(self, key: bytes, item: Item) -> bool:
        """Set one key's item. Returns whether the key is new."""
        flat = self._flat
        if key in flat:
            flat[key] = item
            return False
        return bool(self.put_many((key,), (item,)))

    def put_many(self, keys: Sequence[bytes], items: Iterable[Item]) -> list[bytes]:
        """Set a column of keys to a column of items, the last one winning where a key comes twice.

        Returns:
            the keys that are new, each once.
        """
        flat = self._flat
        if self._shards:
            return self._put_spread(keys, items)
        new = _update(flat, keys, items)
        if len(flat) >= self.FLAT_MAX:
            self._shards = tuple({} for _ in range(self.SHARDS))
        return new

    def _put_spread(self, keys: Sequence[bytes], items: Iterable[Item]) -> list[bytes]:
        flat, shards, mask = self._flat, self._shards, self.SHARDS - 1
        if flat and not self.pins:
            for _ in range(min(self.MOVE_MAX, len(flat))):
                key, item = flat.popitem()
                shards[crc32(key) & mask][key] = item
        numbers = [crc32(key) & mask for key in keys]
        if not flat and keys and numbers.count(numbers[0]) == len(keys):  # as a snapshot tells them, which goes from shard to shard
            return _update(shards[numbers[0]], keys, items)
        new = []
        for key, item, number in zip(keys, items, numbers, strict=True):
            if flat and key in flat:
                flat[key] = item
            else:
                shard = shards[number]
                if key not in shard:
                    new.append(key)
                shard[key] = item
        return new

    def remove(self, key: bytes) -> bool:
        """Take one key out. Returns whether it was there."""
        if self._flat.pop(key, None) is not None:
            return True
        return bool(self._shards) and self._shard(key).pop(key, None) is not None

    def parts(self) -> int:
        """Number of parts; it may grow. ``part`` and ``part_of`` count them from 0."""
        return 1 + len(self._shards)

    def part(self, number: int) -> list[bytes]:
        """List the keys of one part, in the order in which they came and mostly lie in memory."""
        return list(self._shards[number - 1] if number else self._flat)

    def part_of(self, key: bytes) -> int:
        """Tell the part of a key that is there."""
        return 0 if key in self._flat else 1 + (crc32(key) & (self.SHARDS - 1))

    def clone(self) -> Table[Item]:
        """Copy the table; nothing is pinned in the copy."""
        other: Table[Item] = object.__new__(Table)
        other._flat = self._flat.copy()
        other._shards = tuple(map(dict.copy, self._shards)) if self._shards else ()
        other.pins = 0
        return other


def _update(part: dict[bytes, Item], keys: Sequence[bytes], items: Iterable[Item]) -> list[bytes]:
    """Set a column of keys of one part; returns those that are new."""
    before = len(part)
    part.update(zip(keys, items, strict=True))
    grown = len(part) - before
    return list(islice(reversed(part), grown)) if grown else []  # a dict keeps its keys in the order of their coming
