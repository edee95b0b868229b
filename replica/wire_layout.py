"""How one class of messages stands in a frame, compiled into the function that judges it.

A ``Layout`` knows which ``Field`` stands in each place of a section.  From that it writes, once at import, the function a person would write
for the class by hand, as attrs does for ``__init__``; ``Layout.source`` shows it.  For ``StrongRead``:

    def read(section, size):
        if [*map(type, section)] != shape:
            refuse_shape(section)
        _, sessions, firsts, counts, dependencies, queries = section
        if not len(sessions) == len(firsts) == len(counts) == len(dependencies):
            refuse_rows()
        check_ints([*sessions, *firsts, *counts, *dependencies])
        used = total = sum(counts)
        if (counts and min(counts) < 1) or not total == len(queries):
            refuse_counts(counts)
        if counts and max(firsts) > NUMBERS_FAR:
            check_ends(firsts, counts)
        check_queries(queries)
        return message(sessions, firsts, counts, dependencies, queries), used

Rejected: interpreting the table for each section (3 of 8 µs more for a ``Record`` of 32 commands, and every frame is decoded by someone), and
23 such functions in the source, each of them a place to forget a check.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, NoReturn

import attrs
import cbor2

from replica import wire_columns
from replica.wire_cbor import WireError
from replica.wire_columns import Field
from replica.wire_writing import compile_writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

_PYTHON_TYPES: dict[Field, type] = {Field.INT: int, Field.REPLICA: int, Field.FLAG: bool, Field.SECONDS: float, Field.KINDS: bytes}
"""What cbor2 makes of a field; of every other one it makes a list."""

_ROWS = {Field.INTS, Field.COUNTS, Field.TOKENS}
"""Columns with one place for each run: equally long."""

_FLAT = {Field.KINDS, Field.KEYS, Field.VALUES, Field.QUERIES, Field.ANSWERS, Field.VERSIONS}
"""Columns in which each run owns as many places as its count says: as long as the sum of the counts."""

_INT_COLUMNS = {Field.INTS, Field.COUNTS, Field.VERSIONS}

_JUDGES = {
    Field.SECONDS: "check_seconds({name}, float, int)",
    Field.REPLICA: "check_replica({name})",
    Field.TOKENS: "check_tokens({name})",
    Field.KEYS: "check_keys({name})",
    Field.VALUES: "check_values(kinds, {name}, size)",
    Field.QUERIES: "check_queries({name})",
    Field.ANSWERS: "check_answers({name}, size)",
    Field.PLACED: "used += check_placed({name}, total)",
    Field.NUMBERED: "used += check_numbered({name})",
    Field.REFUSALS: "used += check_int_rows({name}, 2)",
    Field.LAGGING: "used += check_int_rows({name}, 3)",
    Field.LEVELS: "used += check_int_rows({name}, 4)",
    Field.PLAIN: "used += check_plain({name})",
    Field.MEMBERS: "used += check_members({name})",
    Field.SYSTEM: "used += check_system({name})",
    Field.ENTRIES: "{name}, more = read_nested({name}, size); used += more",
    Field.RECORD: "({name},), used = read_nested([{name}], size)",
}
"""What a field needs beyond its type, its length and the one pass over all integers."""


class Layout:
    """One class of messages as a section.

    Attributes:
        tag: the first item of the section; 0 for an Entry, which stands inside an Accept only.
        message: the class.
        fields: ``{name: what stands there}``, in the section's order.
        read: ``read(section, size) -> (message, used)``: judges a decoded array, its tag first, of a payload of ``size`` bytes; gives the
            message, which keeps the array's columns, and how much of ``commands_per_frame_max`` it uses; raises WireError.
        encode: ``encode(message) -> bytes``: the section as CBOR, what cbor2 would make of ``write`` but for longer integers.
        source: the text of ``read``.
        encode_source: the text of ``encode``; empty if cbor2 does it.
    """

    def __init__(self, tag: int, message: type, fields: Iterable[Field], nested: Layout | None = None) -> None:
        """Compile the layout.

        Args:
            tag: see the class.
            message: an attrs class.
            fields: what stands in each of the class's fields, in its order.
            nested: what the items of an ``ENTRIES`` field are, or a ``RECORD`` field is.
        """
        self.tag = tag
        self.message: Callable[..., Any] = message
        self.name = message.__name__
        self.fields = dict(zip((field.name for field in attrs.fields(message)), fields, strict=True))
        self.source = _source(self.fields)
        self.read: Callable[[list[Any], int], tuple[Any, int]]
        self._nested = nested
        get = attrgetter(*self.fields)  # of one name it gives the value, of several a tuple
        self._items: Callable[[Any], Sequence[Any]] = get if len(self.fields) > 1 else lambda message: (get(message),)
        self._shape = [int, *(_PYTHON_TYPES.get(field, list) for field in self.fields.values())]
        names = vars(wire_columns) | {
            "message": message,
            "shape": self._shape,
            "refuse_shape": self._refuse_shape,
            "refuse_rows": _refuse_rows,
            "refuse_counts": _refuse_counts,
            "read_nested": self._read_nested,
        }
        assert self.fields.keys().isdisjoint({"section", "size", "used", "total", "more", "map", "type", "len", "min", "max", "sum", *names})
        exec(compile(self.source, f"<replica.wire_layout {self.name}>", "exec"), names)  # noqa: S102 - our own text, out of our own table
        self.read = names["read"]
        inner = None if nested is None else nested.encode
        self.encode: Callable[[Any], bytes]
        self.encode, self.encode_source = compile_writer(tag, self.name, self.fields, self._encode_slowly, inner)

    def write(self, message: Any) -> list[Any]:
        """Make the section of a message, ready for CBOR; its columns are the message's own."""
        section = [self.tag, *self._items(message)]
        if self._nested is not None:
            items = self._nested._items  # noqa: SLF001 - the same class
            section[-1] = [*map(items, section[-1])] if isinstance(section[-1], list) else items(section[-1])
        return section

    def _encode_slowly(self, message: Any) -> bytes:
        section = self.write(message)
        return cbor2.dumps(section if self.tag else section[1:])

    def _read_nested(self, items: list[Any], size: int) -> tuple[list[Any], int]:
        """Judge sections that stand inside this one without their tags; each uses one place more than its columns."""
        assert self._nested is not None
        read, messages, used = self._nested.read, [], 0
        for fields in items:
            if type(fields) is not list:
                raise WireError("wrong_type", f"{self._nested.name} must be an array of its fields")
            message, more = read([0, *fields], size)
            messages.append(message)
            used += more + 1
        return messages, used

    def _refuse_shape(self, section: list[Any]) -> None:
        """Say what is wrong with a section's fields; nothing is, if it is seconds as an integer: many languages cannot write 10.0."""
        if len(section) != len(self._shape):
            raise WireError("wrong_field_count", f"{len(section) - 1} fields instead of {len(self.fields)}")
        for (name, field), kind, item in zip(self.fields.items(), self._shape[1:], section[1:], strict=True):
            if type(item) is not kind and field is not Field.SECONDS:
                raise WireError("wrong_type", f"{name} must be {field.value}")


def _source(fields: dict[str, Field]) -> str:
    """Write ``read`` for a class with these fields."""

    def names(wanted: set[Field]) -> list[str]:
        return [name for name, field in fields.items() if field in wanted]

    def lengths(wanted: set[Field]) -> list[str]:
        return [f"len({name})" for name in names(wanted)]

    rows, flat = lengths(_ROWS), lengths(_FLAT)
    ints = names({Field.INT}) + [f"*{name}" for name in names(_INT_COLUMNS)]
    lines = ["if [*map(type, section)] != shape:", "    refuse_shape(section)", f"_, {', '.join(fields)} = section"]
    if len(rows) > 1:
        lines += [f"if not {' == '.join(rows)}:", "    refuse_rows()"]
    if ints:
        lines += [f"check_ints([{', '.join(ints)}])"]
    if Field.COUNTS in fields.values():
        lines += ["used = total = sum(counts)"]
        wrong_total = f" or not total == {' == '.join(flat)}" if flat else ""
        lines += [f"if (counts and min(counts) < 1){wrong_total}:", "    refuse_counts(counts)"]
        lines += ["if counts and max(firsts) > NUMBERS_FAR:", "    check_ends(firsts, counts)"]
    else:
        lines += [f"used = {rows[0] if rows else 0}"]
    lines += [_JUDGES[field].format(name=name) for name, field in fields.items() if field in _JUDGES]
    lines += [f"return message({', '.join(fields)}), used"]
    return "\n    ".join(["def read(section, size):", *lines])


def _refuse_rows() -> NoReturn:
    raise WireError("columns_disagree", "columns of runs are not equally long")


def _refuse_counts(counts: list[int]) -> NoReturn:
    if counts and min(counts) < 1:
        raise WireError("out_of_range", "a run of nothing")
    raise WireError("columns_disagree", "a flat column is not as long as the sum of the counts")
