"""Seeded operation streams: what each session will ask for, drawn in blocks and handed out in slices.

Theory. At 100,000 commands a second a generator that draws one operation at a time costs more than the store it measures. So a stream draws a
*block* of operations with numpy: the order of the classes as one ``bytes`` object, and for each class a contiguous list of what its operations
need (keys or scan queries; values for writes). Keys are independent of classes, so they need not be drawn in the stream's order: taking the
next ``n`` operations is looking up how many of each class there are and slicing a few lists, all at C speed.

Zipf: key ``i`` has weight ``1 / (i + 1) ** theta``, exactly, by Walker's alias method: a uniform draw picks a column and either the column's own
key or its alias, so a draw costs two look-ups whatever the key space (inverting the cumulative distribution costs a binary search, five times
as much). Rank ``i`` is key number ``i``: the hottest key is ``key:00000000``.

Rejected: YCSB's approximate zipfian (wrong frequencies for the hottest keys), a precomputed ring of operations (it would shrink the key space
to what fits the ring), one operation stream for a whole process (what a session asks for would depend on the timing of the others).

Nothing here knows time, sockets or sessions. The same settings and stream number give the same operations.

Sources: YCSB (Cooper et al., SoCC'10) for the mixes A-F; Walker (1977), "An efficient method for generating discrete random variables with
general distributions", with Vose's pairing (1991) done as two cumulative sums instead of two stacks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import attrs
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from replica.core.messages import Query, Value

CAUSAL_READ: Final = 0
STRONG_READ: Final = 1
CAUSAL_WRITE: Final = 2
STRONG_WRITE: Final = 3
MODIFY: Final = 4
"""Classes of operations. ``MODIFY`` is a strong read whose answer is replaced by a cas: one operation of two commands."""

CLASSES: Final = ("causal_read", "strong_read", "causal_write", "strong_write", "modify")

BLOCK: Final = 2048
"""Operations drawn at a time for one stream: large enough for numpy, small enough that the pause hides among the turns."""

KEY_SPACE_MAX: Final = 90_000_000
"""Key numbers have eight digits; the last tenth is left to the keys that YCSB D and E insert."""

HOT_KEY: Final = b"key:_hotspot"
"""The key that ``conflict_percent`` of the operations go to."""

SCAN_ROWS_MAX: Final = 100
"""YCSB E asks for 1 to this many rows, uniformly."""

Writes: TypeAlias = "tuple[list[bytes], list[Value], list[bytes], list[Value], list[bytes], list[Value]]"
"""Causal writes' keys, values; strong writes' keys, values; modifications' keys, new values."""

Slice: TypeAlias = "tuple[int, list[Query], list[Query], Writes | None]"
"""The next operations of a stream: how many, causal reads, strong reads, the rest (None where these are all)."""

_KEY_PREFIX: Final = np.frombuffer(b"key:", np.uint32)[0]
_FOUR_DIGITS: Final = np.frombuffer(b"".join(b"%04d" % number for number in range(10_000)), np.uint32)
_HOT_ROW: Final = np.frombuffer(HOT_KEY, np.uint32)
_POOL_BYTES_MAX: Final = 4 << 20
_POOL_VALUES_MAX: Final = 256
_FILLER: Final = b"abcdefghijklmnopqrstuvwxyz"

# Shares of (read, write, modify) of each YCSB mix; D and E insert where the others update.
_YCSB: Final = {
    "ycsb-a": (0.5, 0.5, 0.0),
    "ycsb-b": (0.95, 0.05, 0.0),
    "ycsb-c": (1.0, 0.0, 0.0),
    "ycsb-d": (0.95, 0.05, 0.0),
    "ycsb-e": (0.95, 0.05, 0.0),
    "ycsb-f": (0.5, 0.0, 0.5),
}
WORKLOADS: Final = ("mix", *_YCSB)


@attrs.frozen
class WorkloadSettings:
    """What the streams of one run draw. All percentages 0 to 100.

    ``write_percent`` is the share of writes among the strong operations, ``causal_write_percent`` among the causal ones; a YCSB mix fixes both
    and keeps ``causal_percent``. ``streams``: in the whole run (inserted keys are dealt out by it). ``unique``: a prefix for values that no
    other write of any run has (for recorded histories), None to rotate a pool of random values.
    """

    workload: str = "mix"
    causal_percent: float = 50.0
    write_percent: float = 10.0
    causal_write_percent: float = 10.0
    key_space: int = 1_000_000
    zipf: float = 0.9
    conflict_percent: float = 0.0
    value_bytes: int = 100
    seed: int = 1
    streams: int = 1
    unique: str | None = None

    def shares(self) -> tuple[float, float, float, float, float]:
        """Return the probability of each class, in the order of ``CLASSES``."""
        causal = self.causal_percent / 100
        if self.workload == "mix":
            causal_writes, strong_writes, modifies = self.causal_write_percent / 100, self.write_percent / 100, 0.0
        else:
            _, writes, modifies = _YCSB[self.workload]
            causal_writes = strong_writes = writes / (1 - modifies) if modifies < 1 else 0.0
        rest = 1 - modifies
        strong = rest * (1 - causal)
        causal *= rest
        return causal * (1 - causal_writes), strong * (1 - strong_writes), causal * causal_writes, strong * strong_writes, modifies


class OperationSource(Protocol):
    """Where a stream's operations come from."""

    def take(self, count: int, /) -> Slice:
        """Return the next operations: 1 to ``count`` of them, 0 only at the end."""


class KeySampler:
    """Draws key numbers: zipf of exponent ``theta`` over ``key_space`` keys, uniform for 0. One serves all streams of a process.

    Invariant: ``kept`` and ``alias`` have one place a key; key ``i`` has probability ``(kept[i] + sum of 1 - kept[j] where alias[j] is i) /
    key_space``.
    """

    def __init__(self, key_space: int, theta: float) -> None:
        self.key_space = key_space
        self.theta = theta
        self.kept: NDArray[np.float64] | None = None
        self.alias: NDArray[np.int64] | None = None
        if theta > 0:
            weights = np.arange(1, key_space + 1, dtype=np.float64) ** -theta
            weights *= key_space / weights.sum()
            self.kept, self.alias = _alias_table(weights)

    def draw(self, random: np.random.Generator, count: int) -> NDArray[np.int64]:
        """Return ``count`` independent key numbers, 0 the hottest."""
        if self.kept is None or self.alias is None:
            return random.integers(0, self.key_space, count)
        places = random.random(count)
        places *= self.key_space
        columns = places.astype(np.int64)
        places -= columns
        return np.where(places < self.kept[columns], columns, self.alias[columns])


def _alias_table(weights: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return what each column keeps and to whom the rest of it goes, for falling weights of mean 1.

    Columns heavier than 1 come first and have a surplus, the others a deficit. Laid end to end, each deficit is filled by the heavy column in
    whose surplus it begins; where it reaches beyond that surplus, the heavy column gave more than it had, and its successor fills it up.
    """
    heavy = int(np.searchsorted(-weights, -1.0, side="left"))
    surplus = np.cumsum(weights[:heavy] - 1)
    deficit = np.cumsum(1 - weights[heavy:])
    kept, alias = weights.copy(), np.empty(len(weights), np.int64)
    begins = np.concatenate(([0.0], deficit[:-1]))
    alias[heavy:] = np.minimum(np.searchsorted(surplus, begins, side="right"), max(heavy - 1, 0))
    if heavy:
        reached = np.concatenate((deficit, [surplus[-1]]))[np.searchsorted(deficit, surplus, side="left")]
        kept[:heavy] = 1 - np.clip(reached - surplus, 0, 1)
        kept[heavy - 1] = 1.0
        alias[:heavy] = np.minimum(np.arange(heavy) + 1, heavy - 1)
    else:
        kept[:] = 1.0
    return kept, alias


def key_column(numbers: NDArray[np.int64], hot: NDArray[np.bool_] | None = None) -> list[bytes]:
    """Return ``key:%08d`` for each number; ``HOT_KEY`` where ``hot``."""
    columns = np.empty((len(numbers), 3), np.uint32)
    columns[:, 0] = _KEY_PREFIX
    high = numbers // 10_000
    columns[:, 1] = _FOUR_DIGITS[high]
    columns[:, 2] = _FOUR_DIGITS[numbers - high * 10_000]
    if hot is not None:
        columns[hot] = _HOT_ROW
    keys: list[bytes] = columns.view("S12").ravel().tolist()
    return keys


class ValueSource:
    """Values for writes: a rotating pool of random bytes, or values that no other write has (then at least as long as their name)."""

    def __init__(self, settings: WorkloadSettings, stream: int, random: np.random.Generator) -> None:
        self._unique = None if settings.unique is None else b"%s.%d." % (settings.unique.encode(), stream)
        self._value_bytes = settings.value_bytes
        self._next = 0
        self._pool: list[Value] = []
        if self._unique is None:
            size = settings.value_bytes
            different = max(4, min(_POOL_VALUES_MAX, _POOL_BYTES_MAX // max(size, 1)))
            pool: list[Value] = [random.bytes(size) for _ in range(different)]
            self._pool = pool * (2 * BLOCK // different + 2)

    def draw(self, count: int) -> list[Value]:
        """Return ``count`` values (at most ``BLOCK``)."""
        first = self._next
        if self._unique is None:
            self._next = (first + count) % BLOCK
            return self._pool[first : first + count]
        self._next += count
        size, name = self._value_bytes, self._unique
        filler = _FILLER * (size // len(_FILLER) + 1)
        return [(head := b"%s%d;" % (name, number)) + filler[: max(0, size - len(head))] for number in range(first, first + count)]


class Operations:
    """One stream's operations without end. Implements ``OperationSource``."""

    def __init__(self, settings: WorkloadSettings, stream: int, sampler: KeySampler) -> None:
        self._settings = settings
        self._stream = stream
        self._sampler = sampler
        self._random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([settings.seed, stream])))
        self._values = ValueSource(settings, stream, self._random)
        self._limits = np.cumsum(settings.shares())[:-1]
        self._conflict = settings.conflict_percent / 100
        self._inserted = 0  # keys this stream's blocks have inserted so far (YCSB D and E)
        self._causal: list[Query] = []
        self._strong: list[Query] = []
        self._causal_marks: list[int] = []  # [place in the block: causal reads before it]
        self._strong_marks: list[int] = []
        self._order = b""
        self._at = self._causal_at = self._strong_at = 0
        self._writes_at = (0, 0, 0)
        self._draw()

    def calm(self) -> None:
        """Stop the conflicts now: what is left of the block is forgotten."""
        if self._conflict > 0:
            self._conflict = 0.0
            self._draw()

    def upcoming(self, count: int) -> bytes:
        """Return the classes of the next operations: 1 to ``count`` bytes, of which the next ``take`` may take all."""
        if self._at == BLOCK:
            self._draw()
        return self._order[self._at : self._at + count]

    def take(self, count: int, /) -> Slice:
        """Return the next operations: as many as asked, fewer at the end of a block, never none."""
        start = self._at
        end = start + count
        if end > BLOCK:
            if start == BLOCK:
                self._draw()
                start = 0
            end = min(start + count, BLOCK)
            count = end - start
        self._at = end
        causal_from, strong_from = self._causal_at, self._strong_at
        self._causal_at = causal_to = self._causal_marks[end]
        self._strong_at = strong_to = self._strong_marks[end]
        causal, strong = self._causal[causal_from:causal_to], self._strong[strong_from:strong_to]
        if len(causal) + len(strong) == count:
            return count, causal, strong, None
        return count, causal, strong, self._take_writes(start, end)

    def _take_writes(self, start: int, end: int) -> Writes:
        """Return the operations between two places of the block that are no plain reads."""
        count = self._order.count
        a, b, c = self._writes_at
        d = a + count(CAUSAL_WRITE, start, end)
        e = b + count(STRONG_WRITE, start, end)
        f = c + count(MODIFY, start, end)
        self._writes_at = d, e, f
        causal_keys, causal_values, strong_keys, strong_values, modify_keys, modify_values = self._writes
        return causal_keys[a:d], causal_values[a:d], strong_keys[b:e], strong_values[b:e], modify_keys[c:f], modify_values[c:f]

    def _draw(self) -> None:
        """Draw the next block."""
        order = self._limits.searchsorted(self._random.random(BLOCK), side="right").astype(np.uint8)
        workload = self._settings.workload
        if workload == "ycsb-d":
            reads, writes = self._latest(order)
        else:
            numbers = self._sampler.draw(self._random, BLOCK)
            hot = self._random.random(BLOCK) < self._conflict if self._conflict > 0 else None
            keys = key_column(numbers, hot)
            reads, writes = self._split(order, keys)
            if workload == "ycsb-e":
                reads = [self._scans(column) for column in reads]
                inserts = key_column(self._insert(len(writes[0]) + len(writes[1])))
                writes = [inserts[: len(writes[0])], inserts[len(writes[0]) :], []]
        (self._causal, self._strong), (causal, strong, modify) = reads, writes
        values = self._values.draw
        self._writes: Writes = (causal, values(len(causal)), strong, values(len(strong)), modify, values(len(modify)))
        self._causal_marks = [0, *np.cumsum(order == CAUSAL_READ).tolist()]
        self._strong_marks = [0, *np.cumsum(order == STRONG_READ).tolist()]
        self._order = order.tobytes()
        self._at = self._causal_at = self._strong_at = 0
        self._writes_at = (0, 0, 0)

    @staticmethod
    def _split(order: NDArray[np.uint8], keys: list[bytes]) -> tuple[list[list[Query]], list[list[bytes]]]:
        """Cut the keys into one contiguous column a class."""
        counts = np.bincount(order, minlength=len(CLASSES))
        ends = np.cumsum(counts).tolist()
        reads: list[list[Query]] = [list(keys[: ends[0]]), list(keys[ends[0] : ends[1]])]
        return reads, [keys[ends[1] : ends[2]], keys[ends[2] : ends[3]], keys[ends[3] :]]

    def _scans(self, keys: list[Query]) -> list[Query]:
        """Return a short scan from each key."""
        limits: list[int] = self._random.integers(1, SCAN_ROWS_MAX + 1, len(keys)).tolist()
        return [[key, None, limit] for key, limit in zip(keys, limits, strict=True)]

    def _insert(self, count: int) -> NDArray[np.int64]:
        """Return the numbers of ``count`` new keys: the streams of a run deal them out among themselves."""
        settings = self._settings
        numbers = np.arange(self._inserted, self._inserted + count) * settings.streams + self._stream + settings.key_space
        self._inserted += count
        return numbers % 100_000_000

    def _latest(self, order: NDArray[np.uint8]) -> tuple[list[list[Query]], list[list[bytes]]]:
        """YCSB D: reads go to the newest keys, as far as this stream can tell (the others insert at about its pace)."""
        inserts = (order == CAUSAL_WRITE) | (order == STRONG_WRITE)
        newest = (self._inserted + np.cumsum(inserts)) * self._settings.streams + self._settings.key_space - 1
        numbers = np.maximum(newest - self._sampler.draw(self._random, BLOCK), 0) % 100_000_000
        numbers[inserts] = self._insert(int(inserts.sum()))
        reads: list[list[Query]] = [[*key_column(numbers[order == class_])] for class_ in (CAUSAL_READ, STRONG_READ)]
        return reads, [key_column(numbers[order == class_]) for class_ in (CAUSAL_WRITE, STRONG_WRITE, MODIFY)]


class Preload:
    """Writes each key of a range once, strongly: fills the store before the measurement. Implements ``OperationSource``."""

    def __init__(self, settings: WorkloadSettings, stream: int) -> None:
        random = np.random.Generator(np.random.PCG64(np.random.SeedSequence([settings.seed, stream, 1])))
        preloaded = settings if settings.unique is None else attrs.evolve(settings, unique=f"{settings.unique}.p")
        self._values = ValueSource(preloaded, stream, random)
        self._next, self._end = (settings.key_space * place // settings.streams for place in (stream, stream + 1))

    def take(self, count: int, /) -> Slice:
        """Return the next keys with a value each; none at the end."""
        first = self._next
        count = min(count, self._end - first, BLOCK)
        self._next = first + count
        return count, [], [], ([], [], key_column(np.arange(first, first + count)), self._values.draw(count), [], [])
