"""Commands: their kinds, their limits, what they touch, and when two of them conflict.

There is no command object. A batch of commands is three parallel columns: ``kinds`` (one byte a command), ``keys``, and ``values`` whose
item is a put's bytes, None for a delete, or ``[expected, new]`` for a cas. Reads are not commands but queries: a key, or
``[start, end, limit]`` for a scan. An object per command would cost more than applying it.

A causal command is *blind* (put or delete: it reads nothing and has no result), so that its session can go on before it has a place in
the log; a causal cas is therefore refused here, for clients and replicas alike.

Source: the conflict rule is CURP's (Park & Ousterhout, NSDI'19, section 3.2), made exact for ranges: a scan is its interval, never its
start key.
"""

from __future__ import annotations

from itertools import starmap
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence

PUT: Final = 0
DELETE: Final = 1
CAS_VALUE: Final = 2
CAS_VERSION: Final = 3
CAUSAL: Final = 0x80
"""Or'ed into a kind: the command is causal, not strong. It changes who may complete it when, never what it does."""

OPEN: Final = 0
CLOSE: Final = 1
EXPIRE: Final = 2
NOOP: Final = 3
CONFIG: Final = 4
HORIZON: Final = 5
"""System kinds, the first item of a system command: ``[OPEN, token, lease_seconds]``, ``[CLOSE, session]``, ``[EXPIRE, session]``,
``[NOOP]``, ``[CONFIG, ...]``, ``[HORIZON, position]`` (drop the tombstones below it)."""

KEY_BYTES_MAX: Final = 4096
VALUE_BYTES_MAX: Final = 1024 * 1024
SCAN_ROWS_MAX: Final = 1000
"""Rows of one page of a scan at most, whatever limit was asked for."""
SCAN_BYTES_MAX: Final = 4 * 1024 * 1024
"""Keys and values of one page of a scan stay below this, so that a page fits a frame; a page has at least one row all the same."""

Key = bytes
Interval = tuple[bytes, bytes | None]
"""Keys from the first on and below the second; None: to the last key there is."""
Query = bytes | list[object]
"""A read: a key, or ``[start, end, limit]`` for a scan (``end`` may be None)."""
Item = bytes | None | list[object]
"""A value column's item: a put's bytes, None for a delete, ``[expected, new]`` for a cas."""

_CAS_PARTS: Final = 2
_SCAN_PARTS: Final = 3
_PUTS: Final = bytes([PUT, PUT | CAUSAL])


class InvalidCommand(ValueError):
    """A command or query that no replica takes, however often it is sent; its sender is to blame.

    Attributes:
        reason: one line for the user, naming what is wrong, its size and the limit.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


# ------------------------------------------------------------------------------------------------------------------------- validation


def check_key(key: object, name: str = "key") -> None:
    """Refuse what is not a key: 0 to ``KEY_BYTES_MAX`` bytes.

    Raises:
        InvalidCommand: ``name`` is of another type or too long.
    """
    if type(key) is not bytes:
        raise InvalidCommand(f"{name} must be bytes, not {type(key).__name__}")
    if len(key) > KEY_BYTES_MAX:
        raise InvalidCommand(f"{name} of {len(key)} bytes is over the limit of {KEY_BYTES_MAX} bytes")


def check_value(value: object, name: str = "value") -> None:
    """Refuse what is not a value: 0 to ``VALUE_BYTES_MAX`` bytes.

    Raises:
        InvalidCommand: ``name`` is of another type or too long.
    """
    if type(value) is not bytes:
        raise InvalidCommand(f"{name} must be bytes, not {type(value).__name__}")
    if len(value) > VALUE_BYTES_MAX:
        raise InvalidCommand(f"{name} of {len(value)} bytes is over the limit of {VALUE_BYTES_MAX} bytes")


def check_command(kind: int, key: object, item: object) -> None:
    """Refuse a command that is not well formed: unknown kind, causal cas, wrong item for its kind, anything over its limit.

    Args:
        kind: one byte, with or without ``CAUSAL``.
        key: its key.
        item: its item of the values column.

    Raises:
        InvalidCommand: with the reason.
    """
    check_key(key)
    plain = kind & ~CAUSAL
    if plain == PUT:
        check_value(item)
    elif plain == DELETE:
        if item is not None:
            raise InvalidCommand(f"a delete carries no value, not {type(item).__name__}")
    elif plain in (CAS_VALUE, CAS_VERSION):
        if kind & CAUSAL:
            raise InvalidCommand("a cas has a result, so it cannot be causal: use strong consistency")
        _check_cas(plain, item)
    else:
        raise InvalidCommand(f"unknown kind of command {kind}")


def _check_cas(kind: int, item: object) -> None:
    if not isinstance(item, list) or len(item) != _CAS_PARTS:
        raise InvalidCommand("a cas carries [expected, new]")
    expected, new = item
    check_value(new, "new value")
    if kind == CAS_VALUE:
        if expected is not None:
            check_value(expected, "expected value")
    elif type(expected) is not int or expected < 0:
        raise InvalidCommand("expected version must be a whole number from 0 on")


def check_columns(kinds: bytes, keys: Sequence[object], values: Sequence[object]) -> None:
    """Refuse a batch with any command that is not well formed; a batch of puts is checked without a step per command.

    Raises:
        InvalidCommand: the columns differ in length, or with the reason of the first bad command.
    """
    if not len(kinds) == len(keys) == len(values):
        raise InvalidCommand(f"columns differ in length: {len(kinds)} kinds, {len(keys)} keys, {len(values)} values")
    if (
        not kinds.strip(_PUTS)
        and set(map(type, keys)) == {bytes} == set(map(type, values))
        and max(map(len, keys)) <= KEY_BYTES_MAX  # type: ignore[arg-type]  # all are bytes here
        and max(map(len, values)) <= VALUE_BYTES_MAX  # type: ignore[arg-type]
    ):
        return
    for kind, key, item in zip(kinds, keys, values, strict=True):
        check_command(kind, key, item)


def check_query(query: object) -> None:
    """Refuse what is neither a key nor ``[start, end, limit]`` with a limit from 1 on (``end`` may be None).

    Raises:
        InvalidCommand: with the reason.
    """
    if not isinstance(query, list):
        check_key(query)
        return
    if len(query) != _SCAN_PARTS:
        raise InvalidCommand("a scan is [start, end, limit]")
    start, end, limit = query
    check_key(start, "start of a scan")
    if end is not None:
        check_key(end, "end of a scan")
    if type(limit) is not int or limit < 1:
        raise InvalidCommand("limit of a scan must be a whole number from 1 on")


# ------------------------------------------------------------------------------------------------------------------------- evaluation


def evaluate_cas(kind: int, expected: object, current_value: bytes | None, current_version: int) -> bool:
    """Tell whether a cas succeeds.

    The store asks at apply, a leader asks beforehand with the value its log tail will have produced: the same rule for both, or a
    speculated result would differ from the applied one.

    Args:
        kind: ``CAS_VALUE`` or ``CAS_VERSION``.
        expected: the value (None: absent) or version (0: absent) the client named.
        current_value: None where the key is absent.
        current_version: of ``current_value``; a tombstone's version is not visible, so it is ignored for an absent key.
    """
    if kind == CAS_VALUE:
        return expected == current_value
    assert kind == CAS_VERSION, f"kind {kind} is no cas"
    return expected == (0 if current_value is None else current_version)


# ------------------------------------------------------------------------------------------------------------------ footprints, conflicts


@attrs.frozen
class Region:
    """A set of keys, told as single keys and as intervals. An interval whose end is not above its start is empty."""

    keys: frozenset[bytes] = frozenset()
    intervals: tuple[Interval, ...] = ()

    def __or__(self, other: Region) -> Region:
        """Everything in either."""
        return Region(self.keys | other.keys, self.intervals + other.intervals)

    def overlaps(self, other: Region) -> bool:
        """Tell whether any key is in both."""
        if not self.keys.isdisjoint(other.keys):
            return True
        if not self.intervals and not other.intervals:
            return False
        return (
            any(start <= key and (end is None or key < end) for start, end in self.intervals for key in other.keys)
            or any(start <= key and (end is None or key < end) for start, end in other.intervals for key in self.keys)
            or any(starmap(_intersect, ((a, b) for a in self.intervals for b in other.intervals)))
        )


def _intersect(a: Interval, b: Interval) -> bool:
    """Tell whether two intervals share a key; true to empty ones, as their end is not above their start."""
    start = max(a[0], b[0])
    return all(end is None or start < end for end in (a[1], b[1]))


@attrs.frozen
class Footprint:
    """What a command or a query reads and writes."""

    reads: Region = Region()
    writes: Region = Region()

    def __or__(self, other: Footprint) -> Footprint:
        """The compound footprint of both, as a strong command and the causal writes before it are judged as one."""
        return Footprint(self.reads | other.reads, self.writes | other.writes)


def footprint_of(kind: int, key: bytes) -> Footprint:
    """Tell what a command touches: a blind one writes its key, a cas reads and writes it."""
    region = Region(frozenset((key,)))
    return Footprint(reads=region, writes=region) if kind & ~CAUSAL in (CAS_VALUE, CAS_VERSION) else Footprint(writes=region)


def footprint_of_query(query: Query) -> Footprint:
    """Tell what a query reads: its key, or the whole interval of a scan (a later key may come within its limit)."""
    if isinstance(query, bytes):
        return Footprint(reads=Region(frozenset((query,))))
    start, end, _ = query
    assert isinstance(start, bytes)
    assert end is None or isinstance(end, bytes)
    return Footprint(reads=Region(intervals=((start, end),)))


def conflicts(a: Footprint, b: Footprint) -> bool:
    """Tell whether the order of two commands of different sessions can be seen: one writes what the other reads or writes."""
    return a.writes.overlaps(b.writes) or a.writes.overlaps(b.reads) or a.reads.overlaps(b.writes)
