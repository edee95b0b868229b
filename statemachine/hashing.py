"""A 64-bit hash of the whole store that writes hardly pay for.

The hash is the sum, modulo 2^64, of a hash of each ``(key, value, version)``: the order of insertion cannot matter, and one key's change is
one subtraction and one addition. A tombstone counts, as a store that forgot it would answer differently.

Nothing is hashed when keys are written: the store only remembers what a key held before (``moment.Moment``), and ``fold`` does the hashing in
slices when somebody wants to know. Until the first ``fold`` not even that is done. When so many keys changed that hashing everything anew is
as cheap, the past is given up, and the next ``fold`` begins anew: nobody asking costs nothing, and holds no memory.

It finds replicas that diverged by mistake. It is no proof against somebody who picks values in order to deceive it: sums of hashes can be
collided on purpose (Bellare & Micciancio, EUROCRYPT'97).
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING, ClassVar

from statemachine.moment import NOTHING, columns_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from statemachine.moment import Columns, Entry, Moment
    from statemachine.table import Table

_MASK = (1 << 64) - 1


def hash_of(keys: Iterable[bytes], values: Iterable[bytes | None], versions: Iterable[int]) -> int:
    """Hash columns of keys: the sum of each one's 64-bit hash, not reduced. A key of version 0 does not exist and counts nothing."""
    # Version and length in decimal, a mark after the key: no two triples make the same bytes.
    told = [
        b"%d %d %b-" % (version, len(key), key) if value is None else b"%d %d %b=%b" % (version, len(key), key, value)
        for key, value, version in zip(keys, values, versions, strict=True)
        if version
    ]
    return sum([int.from_bytes(blake2b(each, digest_size=8).digest(), "little") for each in told])


class StateHash:
    """The hash of one store, brought up to date on demand; see the module.

    Args:
        entries: the store's table.
    """

    PAST_MIN: ClassVar[int] = 4096
    PAST_SHARE: ClassVar[int] = 8
    """The past is given up beyond ``PAST_MIN`` keys and this part of all keys, so that it never holds much memory."""
    SLICE_KEYS: ClassVar[int] = 512
    SLICE_BYTES: ClassVar[int] = 1 << 20

    __slots__ = ("_entries", "_moment", "_slices", "_total")

    def __init__(self, entries: Table[Entry]) -> None:
        """Begin with nothing known."""
        self._entries = entries
        self._total = 0
        self._moment: Moment | None = None  # its past is what changed since it was counted
        self._slices: Iterator[Columns] | None = None  # what is still to be counted of the moment itself

    def fold(self, limit: int, begin: Callable[[], Moment]) -> bool:
        """Hash about ``limit`` keys of what is not hashed yet (1 to 4 µs each; large values count for more).

        Args:
            limit: from 1 on.
            begin: makes a moment of the store, which the store tells of every write until it is given up; called to count anew.

        Returns:
            whether there is more to do.
        """
        moment = self._moment
        if moment is None or moment.given_up:
            moment = self._moment = begin()
            self._total = 0
            self._slices = moment.slices(self.SLICE_KEYS, self.SLICE_BYTES)
        left = limit
        while self._slices is not None:
            if left <= 0:
                return True
            columns = next(self._slices, None)
            if columns is None:
                self._slices = None
                break
            self._total += hash_of(*columns)
            left -= _weight(columns[1])
        if self._fold_past(moment, left):
            return True
        moment.past_max = max(self.PAST_MIN, len(self._entries) // self.PAST_SHARE)  # only now: else it might never get this far
        return False

    def _fold_past(self, moment: Moment, left: int) -> bool:
        """Replace what changed keys counted for by what they count for now."""
        past = moment.past
        while past and left > 0:
            changed = dict([past.popitem() for _ in range(min(left, self.SLICE_KEYS, len(past)))])
            keys = [*changed]
            old_values, old_versions = columns_of([*changed.values()])
            values, versions = columns_of(self._entries.get_many(keys, NOTHING))
            self._total += hash_of(keys, values, versions) - hash_of(keys, old_values, old_versions)
            left -= _weight(values) + _weight(old_values)
        return bool(past)

    def value(self) -> int:
        """Tell the hash: of the store as it is if the last ``fold`` left nothing to do."""
        return self._total & _MASK


def _weight(values: list[bytes | None]) -> int:
    """Tell what hashing values costs, in keys: a KiB counts like one more key."""
    return len(values) + sum(map(len, filter(None, values))) // 1024


class MomentHash:
    """The hash of a store at one moment, worked out in slices while the store goes on changing.

    Args:
        slices: of the moment; dropping them must end it.
    """

    __slots__ = ("_slices", "_total")

    def __init__(self, slices: Iterator[Columns]) -> None:
        """Begin with nothing hashed."""
        self._slices = slices
        self._total = 0

    def fold(self, limit: int) -> bool:
        """Hash about ``limit`` keys (1 to 4 µs each; large values count for more). Returns whether there is more to do."""
        left = limit
        while left > 0:
            columns = next(self._slices, None)
            if columns is None:
                return False
            self._total += hash_of(*columns)
            left -= _weight(columns[1])
        return True

    def value(self) -> int:
        """Tell the hash, once ``fold`` has nothing left to do: what ``StateHash`` tells of the same state."""
        return self._total & _MASK
