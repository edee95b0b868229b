"""Writes one section as CBOR bytes, compiled for each class of messages as ``wire_layout`` compiles what judges one.

cbor2 spends half a microsecond on every array, and a section is an array of arrays that are mostly short: in a frame of few commands the encoder
was a seventh of a leader's time.  Two observations make short sections two to three times as fast:

* All numbers of a section that follow each other (fields and columns of one place for each run) are one ``struct.pack``: what stands between
  them (heads of arrays, heads of integers, the tag) depends on the number of runs only, so it is a template, made once for each number of runs.
  Integers are written with eight bytes each: CBOR allows it, and a section of nothing but numbers grows two- to threefold.
* A column of byte strings of one length is ``head.join``.

What is rare (many runs, no runs, cas, scans, long strings, fields that only some messages have) is left to cbor2: the text for it is the same.
Rejected: shortest integers (a choice for each number, in Python), a template for columns of any length (a dictionary without end).

For ``Applied``:

    def encode(message):
        runs = len(message.sessions)
        found0 = templates0.get(runs)
        if found0 is None:
            return encode_slowly(message)
        pack0, items0 = found0
        items0[1::2] = [message.config, message.view, message.position, *message.sessions, *message.upto]
        items0[4] = flag_heads[message.leader]
        return pack0(*items0) + write_list(message.results)
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import cbor2

from replica.wire_columns import Field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Writer = Callable[[Any], bytes]
    """Writes one message."""

    Template = tuple[Callable[..., bytes], list[Any]]
    """(packs a section's numbers and what stands between them, what stands between them: a number's place is left free after each)."""

RUNS_MAX = 16
"""Sections of more runs are left to cbor2, which is as fast there."""

_HEADS_MAX = 1 << 10
"""Strings and arrays shorter than this have their heads in a table."""

_NUMBERS = {Field.INT, Field.INTS, Field.COUNTS}
_COLUMNS = {Field.INTS, Field.COUNTS}
_WRITERS = {
    Field.KINDS: "write_string",
    Field.KEYS: "write_strings",
    Field.QUERIES: "write_strings",
    Field.VALUES: "write_optional_strings",
    Field.ANSWERS: "write_optional_strings",
    Field.VERSIONS: "write_integers",
    Field.PLACED: "write_list",
    Field.NUMBERED: "write_list",
    Field.REFUSALS: "write_list",
    Field.LAGGING: "write_list",
    Field.SYSTEM: "write_list",
    Field.ENTRIES: "write_nested",
}


def _head(major: int, argument: int) -> bytes:
    """Write the head of an item (RFC 8949, section 3)."""
    if argument < 24:  # noqa: PLR2004 - the argument stands in the head itself
        return bytes([major << 5 | argument])
    return bytes([major << 5 | 24, argument]) if argument < 1 << 8 else bytes([major << 5 | 25]) + argument.to_bytes(2)


_STRING_HEADS = [_head(2, length) for length in range(_HEADS_MAX)]
_ARRAY_HEADS = [_head(4, length) for length in range(_HEADS_MAX)]
_INTEGER = b"\x1b"
"""Head of an integer in eight bytes."""
_NULL, _EMPTY = b"\xf6", b"\x80"
_FLAG_HEADS = {False: b"\xf4" + _INTEGER, True: b"\xf5" + _INTEGER}
"""A flag and the head of the number behind it."""


def write_string(string: bytes) -> bytes:
    """Write one byte string."""
    return _STRING_HEADS[len(string)] + string if len(string) < _HEADS_MAX else cbor2.dumps(string)


def write_strings(column: list[Any]) -> bytes:
    """Write a column that mostly holds byte strings, and those of equal lengths."""
    try:
        sizes = {*map(len, column)}
        if len(sizes) == 1:
            head = _STRING_HEADS[sizes.pop()]
            return _ARRAY_HEADS[len(column)] + head + head.join(column)
        return _ARRAY_HEADS[len(column)] + b"".join([_STRING_HEADS[len(item)] + item for item in column])
    except (TypeError, IndexError):  # something else among them, or a long one
        return cbor2.dumps(column)


def write_optional_strings(column: list[Any]) -> bytes:
    """Write a column of byte strings some of which may be missing."""
    if None not in column:
        return write_strings(column)
    try:
        return _ARRAY_HEADS[len(column)] + b"".join([_NULL if item is None else _STRING_HEADS[len(item)] + item for item in column])
    except (TypeError, IndexError):
        return cbor2.dumps(column)


def write_integers(column: list[int]) -> bytes:
    """Write a column of integers that no run counts."""
    found = _INTEGER_TEMPLATES.get(len(column))
    if found is None:
        return cbor2.dumps(column)
    pack, items = found
    items[1::2] = column
    return pack(*items)


def write_list(items: list[Any]) -> bytes:
    """Write an array that is mostly empty."""
    return cbor2.dumps(items) if items else _EMPTY


def _template(between: list[bytes]) -> Template:
    """Make a template of what stands before each number."""
    items = [item for fixed in between for item in (fixed, 0)]
    return struct.Struct(">" + "".join(f"{len(fixed)}sQ" for fixed in between)).pack, items


def _templates(start: bytes, fields: list[Field]) -> dict[int, Template]:
    """Make the templates of some numbers that follow each other, for each number of runs.

    Args:
        start: what stands before the first of them.
        fields: INT, INTS, COUNTS, and FLAG before an INT.

    Returns:
        By number of runs; where there are no columns, the same one for all.
    """
    found = {}
    for runs in range(1, RUNS_MAX + 1):
        between, before = [], start
        for field in fields:
            if field is Field.FLAG:
                before += _FLAG_HEADS[False][:-1]
            elif field is Field.INT:
                between.append(before + _INTEGER)
                before = b""
            else:
                between += [before + _ARRAY_HEADS[runs] + _INTEGER, *[_INTEGER] * (runs - 1)]
                before = b""
        found[runs] = _template(between)
    return found


_INTEGER_TEMPLATES = _templates(b"", [Field.INTS])


class _Source:
    """Grows the text of one class's ``encode``."""

    def __init__(self, start: bytes) -> None:
        self.names: dict[str, Any] = {}
        self._start = start  # not written yet
        self._numbers: list[tuple[str, Field]] = []  # likewise
        self._lines: list[str] = []
        self._parts: list[str] = []

    def add(self, name: str, field: Field) -> None:
        """Add a field of a message."""
        if field in _NUMBERS or field is Field.FLAG:
            self._numbers.append((name, field))
        else:
            self._end_numbers()
            self._parts.append(f"{_WRITERS[field]}(message.{name})")

    def _end_numbers(self) -> None:
        numbers, self._numbers = self._numbers, []
        if not numbers:
            return
        number = len(self._parts)
        self.names[f"templates{number}"] = _templates(self._start, [field for _, field in numbers])
        self._start = b""
        written = [("*" if field in _COLUMNS else "") + "message." + name for name, field in numbers if field is not Field.FLAG]
        self._lines += [
            f"found{number} = templates{number}.get(runs)",
            f"if found{number} is None:",
            "    return encode_slowly(message)",
            f"pack{number}, items{number} = found{number}",
            f"items{number}[1::2] = [{', '.join(written)}]",
        ]
        for place, (name, field) in enumerate(numbers):
            if field is Field.FLAG:
                self._lines += [f"items{number}[{2 * place}] = flag_heads[message.{name}]"]
        self._parts.append(f"pack{number}(*items{number})")

    def text(self, runs: str) -> str:
        """Finish the text; ``runs`` says how many runs a message has."""
        self._end_numbers()
        return "\n    ".join(["def encode(message):", f"runs = {runs}", *self._lines, f"return {' + '.join(self._parts)}"])


def compile_writer(tag: int, name: str, fields: dict[str, Field], slowly: Writer, nested: Writer | None) -> tuple[Writer, str]:
    """Make the function that writes a message as a section.

    Args:
        tag: of the section; 0: it has none.
        name: of the class, for tracebacks.
        fields: as in ``Layout``.
        slowly: writes any section of the class with cbor2.
        nested: writes an item of an ``ENTRIES`` field.

    Returns:
        The function and its text; ``slowly`` itself and no text, where some field is left to cbor2.
    """
    kinds = list(fields.values())
    followed = all(after is Field.INT for field, after in zip(kinds, [*kinds[1:], None], strict=True) if field is Field.FLAG)
    if kinds[0] not in _NUMBERS or not followed or not set(kinds) <= _NUMBERS | _WRITERS.keys() | {Field.FLAG}:
        return slowly, ""
    source = _Source(_head(4, len(fields) + bool(tag)) + (_head(0, tag) if tag else b""))
    for field_name, field in fields.items():
        source.add(field_name, field)
    columns = [field_name for field_name, field in fields.items() if field in _COLUMNS]
    text = source.text(f"len(message.{columns[0]})" if columns else "1")

    def write_nested(items: Iterable[Any]) -> bytes:
        assert nested is not None
        written = [*map(nested, items)]
        return _head(4, len(written)) + b"".join(written)

    names = source.names | {
        "encode_slowly": slowly, "flag_heads": _FLAG_HEADS, "write_nested": write_nested, "write_string": write_string,
        "write_strings": write_strings, "write_optional_strings": write_optional_strings, "write_integers": write_integers,
        "write_list": write_list,
    }  # fmt: skip
    exec(compile(text, f"<replica.wire_writing {name}>", "exec"), names)  # noqa: S102 - our own text, out of our own table
    return names["encode"], text
