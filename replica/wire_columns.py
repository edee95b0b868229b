"""Judges columns: types, ranges, lengths and shapes of what a section carries, at C speed over whole columns.

A section costs a fixed number of calls, not one per command: ``map``, ``min``, ``join`` and set comparison see the items.  A Python loop runs
only over what is rare: cas values, scans, results, system commands.

Nothing here knows tags or message classes (that is ``replica.wire``) or what a field means to the protocol (that is ``replica.core``).
"""

from __future__ import annotations

import enum
import struct
import sys
from itertools import chain
from math import isfinite
from operator import add
from typing import Any

from replica.core.configuration import Configuration
from replica.wire_cbor import INT_MAX, WireError
from statemachine.command import (
    CAS_VALUE,
    CAS_VERSION,
    CAUSAL,
    CLOSE,
    CONFIG,
    DELETE,
    EXPIRE,
    HORIZON,
    KEY_BYTES_MAX,
    NOOP,
    OPEN,
    PUT,
    VALUE_BYTES_MAX,
)

TOKEN_BYTES_MAX = 64
"""A session's token: bytes of the client's choice, at least one."""

NUMBERS_FAR = 2**62
"""Below it no run ends out of range, however many commands a frame carries."""

Column = list[Any]


class Field(enum.Enum):
    """What stands in one place of a section: its CBOR type and its limits. The value is the text of the protocol's documentation."""

    INT = "an integer"
    REPLICA = "a replica's id, or -1 for nobody"
    FLAG = "true or false"
    SECONDS = "seconds: a number above 0"
    INTS = "integers, one for each run"
    COUNTS = "integers from 1, one for each run: how many places of the flat columns are its own"
    TOKENS = f"byte strings of 1 to {TOKEN_BYTES_MAX} bytes"
    KINDS = "one byte string: a byte for each command"
    KEYS = f"byte strings of at most {KEY_BYTES_MAX} bytes, one for each command"
    VALUES = "one for each command, by its kind"
    QUERIES = "one for each read: a key, or [start, end or null, limit]"
    ANSWERS = "one for each read: a value, null, or [rows, more] with rows [key, value, version]"
    VERSIONS = "integers, one for each read"
    PLACED = "[place, 0 or 1] each"
    NUMBERED = "[session, number, 0 or 1] each"
    REFUSALS = "[session, reason] each"
    LAGGING = "[session, first, count] each"
    LEVELS = "[session, committed, accepted, anchored] each"
    PLAIN = "integers, numbers, byte strings, flags, null and arrays of them"
    MEMBERS = "a configuration: number, voters, learners, [learner, voter it replaces] each, removed ids, [id, address] each"
    SYSTEM = "system commands: an array each, its kind first"
    ENTRIES = "entries: an array of its fields each"
    RECORD = "the fields of a Record, without its tag"


_PACKS = [struct.Struct(f"{count}q").pack for count in range(256)]
_HIGHEST_BYTE = 7 if sys.byteorder == "little" else 0
_BYTES, _LIST = frozenset({bytes}), frozenset({list})
_FLAG = frozenset({bool})
_BYTES_OR_NONE = frozenset({bytes, type(None)})
_BYTES_OR_LIST = frozenset({bytes, list})
_ANSWER = frozenset({bytes, type(None), list})

_PLAIN = frozenset({int, float, bytes, bool, type(None)})
_PUTS = bytes([PUT, PUT | CAUSAL])
_BLIND = bytes([PUT, PUT | CAUSAL, DELETE, DELETE | CAUSAL])
_VALUE_TYPES: dict[int, type] = {
    PUT: bytes, PUT | CAUSAL: bytes, DELETE: type(None), DELETE | CAUSAL: type(None), CAS_VALUE: list, CAS_VERSION: list,
}  # fmt: skip
_SYSTEM_WIDTHS = {OPEN: 2, CLOSE: 1, EXPIRE: 1, NOOP: 0, HORIZON: 1}
_CAUSAL_CAS = frozenset({CAS_VALUE | CAUSAL, CAS_VERSION | CAUSAL})


def check_ints(ints: list[Any]) -> None:
    """Require integers (no booleans) from 0 to ``INT_MAX``.

    As signed 64-bit numbers those are the ones whose highest byte is ASCII: two thirds of the time that ``min`` and ``max`` take.
    """
    count = len(ints)
    if [*map(type, ints)].count(int) != count:
        raise WireError("wrong_type", "a column of integers holds something else")
    pack = _PACKS[count] if count < len(_PACKS) else struct.Struct(f"{count}q").pack
    try:
        in_range = pack(*ints)[_HIGHEST_BYTE::8].isascii()
    except struct.error:
        in_range = False
    if not in_range:
        raise WireError("out_of_range", "an integer outside 0 to 2**63 - 1")


def check_replica(replica: int) -> None:
    """Require an id, or -1 for nobody; it is known to be an integer."""
    check_ints([replica + 1])


def check_ends(firsts: list[int], counts: list[int]) -> None:
    """Require every run to end within the range of integers too: its last number will be sent, and parts of it."""
    if max(map(add, firsts, counts)) > INT_MAX + 1:
        raise WireError("out_of_range", "a run that ends above 2**63 - 1")


def check_rows(rows: Column, width: int) -> list[Any]:
    """Require arrays of ``width`` items; returns all their items, which are still to be judged."""
    if not _LIST.issuperset(map(type, rows)):
        raise WireError("wrong_type", "a row is no array")
    if not {width}.issuperset(map(len, rows)):
        raise WireError("wrong_shape", f"a row has not {width} items")
    return [*chain.from_iterable(rows)]


def check_int_rows(rows: Column, width: int) -> int:
    """Require arrays of ``width`` integers each; returns how many."""
    if rows:
        check_ints(check_rows(rows, width))
    return len(rows)


def check_placed(rows: Column, total: int) -> int:
    """Require arrays ``[place below total, 0 or 1]``; returns how many."""
    if rows:
        items = check_rows(rows, 2)
        check_ints(items)
        _check_outcomes(items[1::2])
        if max(items[::2]) >= total:
            raise WireError("out_of_range", "a result for a place that the runs do not have")
    return len(rows)


def check_numbered(rows: Column) -> int:
    """Require arrays ``[session, number, 0 or 1]``; returns how many."""
    if rows:
        items = check_rows(rows, 3)
        check_ints(items)
        _check_outcomes(items[2::3])
    return len(rows)


def _check_outcomes(outcomes: list[int]) -> None:
    if not {0, 1}.issuperset(outcomes):
        raise WireError("out_of_range", "an outcome is neither 0 nor 1")


def check_seconds(seconds: Any, *kinds: type) -> None:
    """Require a finite number above 0 of one of these types."""
    if type(seconds) not in kinds:
        raise WireError("wrong_type", "a number of seconds is something else")
    if not (isfinite(seconds) and 0 < seconds <= INT_MAX):
        raise WireError("out_of_range", "a number of seconds is not above 0 and finite")


def check_tokens(tokens: Column) -> None:
    """Require byte strings of 1 to ``TOKEN_BYTES_MAX`` bytes."""
    if not _BYTES.issuperset(map(type, tokens)):
        raise WireError("wrong_type", "a token is no byte string")
    if tokens and (min(map(len, tokens)) < 1 or max(map(len, tokens)) > TOKEN_BYTES_MAX):
        raise WireError("out_of_range", f"a token has not 1 to {TOKEN_BYTES_MAX} bytes")


def check_keys(keys: Column) -> None:
    """Require byte strings of at most ``KEY_BYTES_MAX`` bytes."""
    try:
        together = b"".join(keys)  # one call that is a type check, and nearly always the length check too
    except TypeError:
        raise WireError("wrong_type", "a key is no byte string") from None
    if len(together) > KEY_BYTES_MAX and max(map(len, keys)) > KEY_BYTES_MAX:
        raise WireError("key_too_long", f"a key of more than {KEY_BYTES_MAX} bytes")


def check_values(kinds: bytes, values: Column, size: int) -> None:
    """Require each value to have the shape of its command's kind; both columns are equally long.

    Args:
        kinds: one byte for each command.
        values: the column.
        size: bytes of the frame: in a frame no longer than the longest value no value is too long.
    """
    if not kinds.strip(_PUTS):
        if not _BYTES.issuperset(map(type, values)):
            raise WireError("wrong_value", "a put's value is no byte string")
        if size > VALUE_BYTES_MAX:
            check_lengths(values)
        return
    try:
        expected = [*map(_VALUE_TYPES.__getitem__, kinds)]
    except KeyError as error:
        if error.args[0] in _CAUSAL_CAS:
            raise WireError("causal_cas", "a causal command must be blind: a put or a delete") from None
        raise WireError("unknown_kind", f"no command has the kind {error.args[0]}") from None
    if [*map(type, values)] != expected:
        raise WireError("wrong_value", "a value has not the shape of its command's kind")
    pairs = []
    if kinds.strip(_BLIND):
        pairs = check_rows([value for value in values if type(value) is list], 2)
        _check_cas(kinds.translate(None, _BLIND), pairs)
    if size > VALUE_BYTES_MAX:
        check_lengths([item for item in chain(values, pairs) if type(item) is bytes])


def _check_cas(kinds: bytes, pairs: list[Any]) -> None:
    """Require ``expected, new`` of each cas, one after the other in ``pairs``, to fit its kind."""
    if not _BYTES.issuperset(map(type, pairs[1::2])):
        raise WireError("wrong_value", "a cas' new value is no byte string")
    versions = []
    for kind, expected in zip(kinds, pairs[::2], strict=True):
        if kind == CAS_VERSION:
            versions.append(expected)
        elif type(expected) not in _BYTES_OR_NONE:
            raise WireError("wrong_value", "a cas' expected value is neither a byte string nor null")
    check_ints(versions)


def check_lengths(values: Column) -> None:
    """Require byte strings (which they are) of at most ``VALUE_BYTES_MAX`` bytes."""
    if values and max(map(len, values)) > VALUE_BYTES_MAX:
        raise WireError("value_too_long", f"a value of more than {VALUE_BYTES_MAX} bytes")


def check_queries(queries: Column) -> None:
    """Require keys, or scans ``[start, end or None, limit from 1]``."""
    if _BYTES.issuperset(map(type, queries)):
        check_keys(queries)
        return
    if not _BYTES_OR_LIST.issuperset(map(type, queries)):
        raise WireError("wrong_type", "a query is neither a key nor a scan")
    pieces = check_rows([query for query in queries if type(query) is list], 3)
    starts, ends, limits = pieces[::3], pieces[1::3], pieces[2::3]
    check_keys([query for query in queries if type(query) is bytes])
    check_keys(starts)
    check_keys([end for end in ends if end is not None])
    check_ints(limits)
    if 0 in limits:
        raise WireError("out_of_range", "a scan of nothing")


def check_answers(values: Column, size: int) -> None:
    """Require values, None, or ``[rows, more]`` of a scan, rows ``[key, value, version]``; ``size`` as for ``check_values``."""
    types = set(map(type, values))
    if not types <= _ANSWER:
        raise WireError("wrong_type", "an answer is neither a value, null nor a scan's")
    found = []
    if list in types:
        pages = check_rows([value for value in values if type(value) is list], 2)
        if not (_LIST.issuperset(map(type, pages[::2])) and _FLAG.issuperset(map(type, pages[1::2]))):
            raise WireError("wrong_type", "a scan's answer is not rows and whether there are more")
        items = check_rows([*chain.from_iterable(pages[::2])], 3)
        found = items[1::3]
        if not _BYTES.issuperset(map(type, found)):
            raise WireError("wrong_value", "a row's value is no byte string")
        check_keys(items[::3])
        check_ints(items[2::3])
    if size > VALUE_BYTES_MAX:
        check_lengths([item for item in chain(values, found) if type(item) is bytes])


def check_system(system: Column) -> int:
    """Require system commands: arrays that start with a kind and have its shape; returns how many."""
    for command in system:
        if type(command) is not list or not command or type(command[0]) is not int:
            raise WireError("wrong_type", "a system command is no array that starts with its kind")
        kind, *rest = command
        if kind == CONFIG:
            if not rest or type(rest[0]) is not str:
                raise WireError("wrong_type", "a configuration in the log begins with the mode")
            check_members(rest[1:])
            continue
        if _SYSTEM_WIDTHS.get(kind) != len(rest):
            raise WireError("wrong_shape", f"no system command has the kind {kind} and {len(rest)} more items")
        if kind == OPEN:
            check_tokens(rest[:1])
            check_seconds(rest[1], float)
        else:
            check_ints(rest)
    return len(system)


def check_plain(items: Column) -> int:
    """Require plain items, in arrays of any depth; returns how many stand in arrays of arrays."""
    used = len(items)
    for item in items:
        if type(item) is list:
            used += check_plain(item)
        elif type(item) not in _PLAIN:
            raise WireError("wrong_type", "a snapshot holds something else than plain values")
        elif type(item) is float and not isfinite(item):
            raise WireError("out_of_range", "a number in a snapshot is not finite")
    return used


def check_members(items: Column) -> int:
    """Require a configuration's items; returns how many members they name."""
    try:
        return len(Configuration.from_items(items).members)
    except ValueError as error:
        raise WireError("wrong_value", str(error)) from None
