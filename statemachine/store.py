"""The replicated map: values and their versions, changed by batches of commands in the order of their positions.

A batch comes as columns and is applied as columns; the state it leaves depends on the commands and their positions only, never on how they
were batched. A value's version is the position of the command that wrote it. A delete leaves a tombstone: a key with a version and no
value, so that "deleted at" can be told apart from "never there"; old ones are dropped, by a logged command or when there are too many, and
``horizon`` says below which position.

What the store consists of: a ``Table`` of entries, the ``Order`` of the live keys for scans, the ``StateHash``, and the tombstones. Moments
of it (``moment``) serve snapshots and the hash while it goes on changing. No call takes longer than some milliseconds with a million keys,
except the ones that say so.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate, chain, islice, takewhile
from operator import add, itemgetter
from typing import TYPE_CHECKING, Final

from statemachine.command import CAUSAL, DELETE, PUT, SCAN_BYTES_MAX, SCAN_ROWS_MAX, evaluate_cas
from statemachine.hashing import MomentHash, StateHash
from statemachine.moment import NOTHING, InvalidSnapshot, Moment, columns_of
from statemachine.order import Order
from statemachine.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from statemachine.moment import Columns, Entry

TOMBSTONES_MAX: Final = 8192
"""With more tombstones than this the oldest ``1 / TOMBSTONES_SHARE`` of them are dropped, at the delete that made it so."""
TOMBSTONES_SHARE: Final = 8
SNAPSHOT_FORMAT: Final = 1
_PUTS: Final = bytes([PUT, PUT | CAUSAL])
_BLIND: Final = bytes([PUT, PUT | CAUSAL, DELETE, DELETE | CAUSAL])


class Store:
    """The map; see the module.

    Attributes:
        entries: ``{key: (value, position that wrote it)}`` of live keys and tombstones, whose value is None; to be read by anybody, changed by
            the store only.
        horizon: every tombstone with a version below it was dropped; 0 at first.

    Rejected: a table of values beside one of versions (7 % less memory for a million small values, but every read looks each key up twice, which
    took twice as long).
    """

    __slots__ = ("_hash", "_missing", "_moments", "_order", "_tombstones", "_tombstones_max", "entries", "horizon")

    def __init__(self, tombstones_max: int = TOMBSTONES_MAX) -> None:
        """Begin empty. ``tombstones_max`` is part of the replicated state's rules: the same on every replica."""
        self.entries: Table[Entry] = Table()
        self.horizon = 0
        self._order = Order()
        self._tombstones: dict[bytes, int] = {}  # {key: version}, ascending
        self._tombstones_max = tombstones_max
        self._moments: list[Moment] = []  # that want to know what is about to be written
        self._hash = StateHash(self.entries)
        self._missing: int | None = None  # keys of a snapshot being loaded that are still to come

    # -------------------------------------------------------------------------------------------------------------------------- writes

    def apply(self, kinds: bytes, keys: Sequence[bytes], values: Sequence[object], first_position: int) -> list[bool | None] | None:
        """Apply a batch of checked commands; command ``i`` has position ``first_position + i``.

        Args:
            kinds: one byte a command; the causal bit is ignored.
            keys: as many; a key may come more than once.
            values: as many: bytes for a put, None for a delete, ``[expected, new]`` for a cas.
            first_position: above all positions applied before, and above 0.

        Returns:
            None if no command has a result, else a bool for each cas (whether it succeeded) and None for the others.
        """
        if self._moments:
            self._remember(keys)
        if not kinds.strip(_PUTS):
            self._put(keys, values, first_position)
            self._order.settle()
            return None
        results: list[bool | None] = [None] * len(kinds)
        place, rest = 0, kinds
        while rest:
            other = rest.lstrip(_PUTS)
            puts = len(rest) - len(other)
            if puts == 1:
                self._put_one(keys[place], values[place], first_position + place)
            elif puts:
                self._put(keys[place : place + puts], values[place : place + puts], first_position + place)
            place += puts
            if other:
                results[place] = self._apply_other(other[0] & ~CAUSAL, keys[place], values[place], first_position + place)
                place += 1
            rest = other[1:]
        self._order.settle()
        return results if kinds.strip(_BLIND) else None

    def _put(self, keys: Sequence[bytes], values: Sequence[object], first_position: int) -> None:
        """Apply puts only, without a step of Python per command as long as no key is new."""
        positions = range(first_position, first_position + len(keys))
        new = self.entries.put_many(keys, zip(values, positions, strict=True))  # type: ignore[arg-type]  # a put's value is bytes
        tombstones = self._tombstones
        if tombstones and not tombstones.keys().isdisjoint(keys):
            new += [key for key in keys if tombstones.pop(key, None) is not None]
        if new:
            self._order.add(new)

    def _put_one(self, key: bytes, value: object, position: int) -> None:
        """Apply one put."""
        new = self.entries.put(key, (value, position))  # type: ignore[arg-type]  # a put's value is bytes
        if new or self._tombstones.pop(key, None) is not None:
            self._order.add((key,))

    def _apply_other(self, kind: int, key: bytes, item: object, position: int) -> bool | None:
        """Apply a delete or a cas."""
        if kind == DELETE:
            self._delete(key, position)
            return None
        assert isinstance(item, list)
        expected, new = item
        succeeded = evaluate_cas(kind, expected, *self.get_entry(key))
        if succeeded:
            self._put_one(key, new, position)
        return succeeded

    def _delete(self, key: bytes, position: int) -> None:
        if self.entries.get(key, NOTHING)[0] is not None:
            self._order.remove(key)
        self.entries.put(key, (None, position))
        self._tombstones.pop(key, None)
        self._tombstones[key] = position
        if len(self._tombstones) > self._tombstones_max:
            oldest = list(islice(self._tombstones.values(), 1 + self._tombstones_max // TOMBSTONES_SHARE))
            self.drop_tombstones(oldest[-1] + 1)

    def drop_tombstones(self, horizon: int) -> None:
        """Drop every tombstone with a version below ``horizon`` (a logged command: all replicas do it at the same position)."""
        due = [key for key, _ in takewhile(lambda tombstone: tombstone[1] < horizon, self._tombstones.items())]
        if self._moments:
            self._remember(due)
            for moment in self._moments:
                moment.lose(due)
        for key in due:
            del self._tombstones[key]
            self.entries.remove(key)
        self.horizon = max(self.horizon, horizon)

    def _remember(self, keys: Sequence[bytes]) -> None:
        for moment in self._moments:
            moment.remember(keys)
        self._moments = [moment for moment in self._moments if not moment.gone()]

    # --------------------------------------------------------------------------------------------------------------------------- reads

    def get_entry(self, key: bytes) -> tuple[bytes | None, int]:
        """Tell one key's value and version: ``(None, version)`` for a tombstone, ``(None, 0)`` where nothing is known."""
        return self.entries.get(key, NOTHING)

    def read(self, keys: Sequence[bytes]) -> tuple[list[bytes | None], list[int]]:
        """Tell a column of keys' values and versions, each as ``get_entry`` does."""
        return columns_of(self.entries.get_many(keys, NOTHING))

    @property
    def live(self) -> int:
        """Number of live keys."""
        return len(self.entries) - len(self._tombstones)

    def scan(self, start: bytes, end: bytes | None, limit: int) -> tuple[list[list[object]], bool]:
        """Tell the first live keys in ``[start, end)``.

        Args:
            start: first key that may be told.
            end: first key above that may not; None: to the last key there is.
            limit: rows wanted, from 1 on. A page has ``SCAN_ROWS_MAX`` rows and ``SCAN_BYTES_MAX`` bytes at most (but one row always).

        Returns:
            rows ``[key, value, version]`` in ascending order, and whether there are more (then they begin right after the last row's key).
        """
        count = min(limit, SCAN_ROWS_MAX)
        keys = self._order.page(start, end, count + 1)
        more = len(keys) > count
        del keys[count:]
        values, versions = self.read(keys)
        rows: list[list[object]] = list(map(list, zip(keys, values, versions, strict=True)))
        ends = list(accumulate(map(add, map(len, keys), map(len, values))))  # type: ignore[arg-type]  # live keys: no value is None
        if ends and ends[-1] > SCAN_BYTES_MAX:
            fit = max(1, bisect_right(ends, SCAN_BYTES_MAX))
            more = more or fit < len(rows)
            del rows[fit:]
        return rows, more

    # ---------------------------------------------------------------------------------------------------------------------- state hash

    def fold(self, limit: int) -> bool:
        """Bring the state hash nearer to the present by hashing about ``limit`` keys: 1 to 4 ms per thousand.

        Returns:
            whether there is more to do; if not, ``state_hash`` has nothing left to work out until the next write.
        """
        return self._hash.fold(limit, self._begin_moment)

    def state_hash(self) -> int:
        """Tell the hash of the whole state: 64 bits over every key, value and version, tombstones included.

        Equal for equal states, whatever the history, process or machine. Folds what ``fold`` left to do, which takes seconds when that is
        a million keys: who must not wait folds in slices first. Sessions are not part of it.
        """
        while self.fold(1 << 16):
            pass
        return self._hash.value()

    def begin_hash(self) -> MomentHash:
        """Begin to hash the state of this moment, whatever is written meanwhile; dropping it ends it."""
        slices = self._hash_slices()
        next(slices)  # the moment is that of the first step: take it here
        return MomentHash(slices)

    def _hash_slices(self) -> Iterator[Columns]:
        moment = self._begin_moment()
        try:
            yield [], [], []
            yield from moment.slices(StateHash.SLICE_KEYS, StateHash.SLICE_BYTES)
        finally:
            self._moments.remove(moment)

    # ------------------------------------------------------------------------------------------------------------- copies of the state

    def _begin_moment(self) -> Moment:
        moment = Moment(self.entries)
        self._moments.append(moment)
        return moment

    def snapshot(self, chunk_keys: int = 1024, chunk_bytes: int = 1 << 20) -> Iterator[list[object]]:
        """Tell the state of this moment in chunks of plain lists, bytes and numbers; the store may change while they are taken.

        Args:
            chunk_keys: keys per chunk at most.
            chunk_bytes: bytes of values per chunk at most, or one larger value.

        Returns:
            an iterator that works each chunk out when it is asked for: first ``[format, horizon, keys]``, then ``[[key, ...],
            [value or None, ...], [version, ...]]`` until so many keys were told. Dropping it ends the snapshot. While it lives, the store
            keeps what the keys written since held before.
        """
        chunks = self._chunks(chunk_keys, chunk_bytes)
        return chain((next(chunks),), chunks)  # the moment is that of the first chunk: take it here

    def _chunks(self, chunk_keys: int, chunk_bytes: int) -> Iterator[list[object]]:
        moment = self._begin_moment()
        try:
            yield [SNAPSHOT_FORMAT, self.horizon, len(self.entries)]
            for columns in moment.slices(chunk_keys, chunk_bytes):
                yield list(columns)
        finally:
            self._moments.remove(moment)

    @classmethod
    def restore(cls, chunks: Iterable[list[object]], tombstones_max: int = TOMBSTONES_MAX) -> Store:
        """Build the store that ``snapshot`` told, all at once; ``load`` does it chunk by chunk.

        Raises:
            InvalidSnapshot: the chunks are not what ``snapshot`` yields: cut short, or damaged.
        """
        store = cls(tombstones_max)
        for chunk in chunks:
            store.load(chunk)
        if store._missing != 0:
            raise InvalidSnapshot("store: the snapshot is cut short")
        return store

    def load(self, chunk: Sequence[object]) -> int:
        """Take in the next chunk of a snapshot. Start with an empty store, and use it for nothing else before the last chunk.

        Returns:
            keys still to come.

        Raises:
            InvalidSnapshot: the chunk is damaged or not the next one; the store is then good for nothing.
        """
        if self._missing is None:
            assert not len(self.entries), "a snapshot is loaded into an empty store"
            self.horizon, self._missing = _read_header(chunk)
            self.entries.expect(self._missing)
            return self._missing
        keys, values, versions = _read_columns(chunk)
        new = self.entries.put_many(keys, zip(values, versions, strict=True))
        self._missing -= len(keys)
        if len(new) < len(keys) or self._missing < 0:
            raise InvalidSnapshot("store: keys that were told before or not announced")
        live = keys
        if None in values:
            dead = {key: version for key, value, version in zip(keys, values, versions, strict=True) if value is None}
            live = [key for key in keys if key not in dead]
            self._tombstones.update(dead)
        self._order.add(live)
        self._order.settle()
        if not self._missing:
            self._tombstones = dict(sorted(self._tombstones.items(), key=itemgetter(1)))
        return self._missing

    def clone(self) -> Store:
        """Copy the store; neither sees what later happens to the other. Quick for small ones; moments and the hash begun are not copied."""
        other = object.__new__(Store)
        other.entries = self.entries.clone()
        other.horizon = self.horizon
        other._order = self._order.clone()
        other._tombstones = self._tombstones.copy()
        other._tombstones_max = self._tombstones_max
        other._moments = []
        other._hash = StateHash(other.entries)
        other._missing = self._missing
        return other

    def freeze(self) -> tuple[object, ...]:
        """Tell the whole state as one hashable tuple, equal for equal states: the horizon, then ``(key, value or None, version)`` by key."""
        keys = sorted(self.entries)
        return self.horizon, tuple(zip(keys, *self.read(keys), strict=True))


def _read_header(chunk: Sequence[object]) -> tuple[int, int]:
    """Tell horizon and number of keys."""
    match chunk:
        case [int(form), int(horizon), int(count)] if form == SNAPSHOT_FORMAT and horizon >= 0 and count >= 0:
            return horizon, count
    raise InvalidSnapshot("store: not a snapshot, or of another format")


def _read_columns(chunk: Sequence[object]) -> tuple[list[bytes], list[bytes | None], list[int]]:
    match chunk:
        case [list(keys), list(values), list(versions)] if (
            len(keys) == len(values) == len(versions)
            and set(map(type, keys)) <= {bytes}
            and set(map(type, values)) <= {bytes, type(None)}
            and set(map(type, versions)) <= {int}
            and min(versions, default=1) > 0
        ):
            return keys, values, versions
    raise InvalidSnapshot("store: damaged chunk")
