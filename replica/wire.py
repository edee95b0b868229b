"""The codec: messages to bytes and back. The only module that knows tags.

A payload (what one frame carries) is the CBOR array ``[incarnation, section, section, ...]``: the sender's incarnation, 0 from clients, then
one array ``[tag, field, field, ...]`` for each message, its fields in the order of ``replica.core.messages``.  An ``Entry`` inside an
``Accept`` is an array of its fields, a ``Record`` inside a ``Forward`` too.

Encoding trusts the core.  Decoding trusts nobody: what it returns has the types, the lengths and the limits that the messages promise, and any
other payload ends as a ``WireError`` with a reason, in time and memory bounded by its size.  What a message *means* (numbers that do not
follow each other, a session nobody opened, a view of the past) is the core's to judge.

A ``Layout`` is compiled once from the table below: one comparison judges the number of fields and the type of each, one pass over all integer
columns together judges those, and what remains is one call for each special column (``replica.wire_columns``).  Rejected: a decoder written
out for each class, which measured 0.6 µs a section faster and 250 lines longer.

A tag is forever: a message whose fields change gets a new one, and its old tag is not used again.
"""

from __future__ import annotations

from itertools import chain
from operator import attrgetter, itemgetter
from typing import TYPE_CHECKING, Any

import attrs
import cbor2

from replica.core import messages as m
from replica.wire_cbor import INT_MAX, WireError, parse
from replica.wire_columns import (
    PYTHON_TYPES,
    Column,
    Field,
    check_answers,
    check_ints,
    check_keys,
    check_outcomes,
    check_queries,
    check_rows,
    check_seconds,
    check_system,
    check_tokens,
    check_values,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from replica.core.messages import Message

    Special = Callable[[list[Any], int, int, int], int]
    """``(section, place, total, size) -> rows``: judges a column, given the sum of the counts and the frame's bytes; returns what it adds
    to the commands of the frame."""

__all__ = ["LAYOUTS", "Layout", "WireError", "WireLimits", "assemble", "decode", "encode", "encode_section"]


@attrs.frozen
class WireLimits:
    """What one frame may carry; more is refused, so senders must know it too.

    Attributes:
        commands_per_frame_max: rows of columns, summed over all sections of the frame: commands, reads, acknowledged sessions.
        sections_per_frame_max: messages in the frame.
        items_per_frame_max: CBOR items, all depths counted (an array is one more than what it holds); looked at in frames over
            ``UNSURVEYED_BYTES_MAX`` only. A scan's row is 4.
    """

    commands_per_frame_max: int = 16_384
    sections_per_frame_max: int = 1_024

    items_per_frame_max: int = 262_144


_I, _F = Field.INT, Field
_RUNS = (_F.INTS, _F.INTS, _F.COUNTS)
_COMMANDS = (_F.KINDS, _F.KEYS, _F.VALUES)

_NESTED = 0  # no tag: these stand inside another section only

_TABLE: tuple[tuple[int, type, tuple[Field, ...]], ...] = (
    # client -> replica
    (1, m.OpenSession, (_F.TOKENS, _F.SECONDS)),
    (2, m.CloseSession, (_F.INTS,)),
    (3, m.KeepAlive, (_F.INTS,)),
    (4, m.Home, (_F.INTS, _F.FLAG)),
    (5, m.Record, (*_RUNS, _F.INTS, _F.INTS, *_COMMANDS)),
    (6, m.StrongRead, (*_RUNS, _F.INTS, _F.QUERIES)),
    (7, m.Anchor, (_F.INTS, _F.INTS, _F.INTS)),
    (8, m.ReadIndex, (*_RUNS, _F.INTS, _F.QUERIES)),
    (9, m.CausalRead, (*_RUNS, _F.INTS, _F.QUERIES)),
    (10, m.Ping, (_I,)),
    # replica -> client
    (11, m.SessionOpened, (_F.TOKENS, _F.INTS)),
    (12, m.RecordAck, (_I, _I, _F.INTS, _F.INTS, _F.INTS, _F.REFUSALS)),
    (13, m.SpecReply, (_I, _I, *_RUNS, _F.PLACED)),
    (14, m.Applied, (_I, _I, _F.FLAG, _I, _F.INTS, _F.INTS, _F.NUMBERED)),
    (15, m.StrongReadReply, (_I, _I, _F.FLAG, _I, *_RUNS, _F.ANSWERS, _F.VERSIONS)),
    (16, m.AnchorAck, (_I, _I, _F.INTS, _F.INTS, _F.INTS)),
    (17, m.CausalReadReply, (_I, _I, *_RUNS, _F.INTS, _F.ANSWERS, _F.VERSIONS, _F.LAGGING)),
    (18, m.Leader, (_I, _I, _F.REPLICA)),
    (19, m.Pong, (_I,)),
    # replica -> replica
    (20, m.Accept, (_I, _I, _I, _I, _I, _I, _F.ENTRIES)),
    (21, m.AcceptAck, (_I, _I, _I, _I, _F.INTS)),
    (22, m.AcceptNack, (_I, _I, _I, _I)),
    (23, m.Forward, (_F.RECORD,)),
    (_NESTED, m.Entry, (_I, _I, _I, _F.SYSTEM, *_RUNS, _F.INTS, *_COMMANDS)),
)


class Layout:
    """One class of messages as a section: its tag, the field in each place, and what was compiled from them.

    Attributes:
        tag: the first item of the section; 0 for an Entry, which stands inside an Accept only.
        message: the class.
        fields: ``{name: what stands there}``, in the section's order.
    """

    def __init__(self, tag: int, message: type, kinds: Iterable[Field]) -> None:
        self.tag = tag
        self.message: Callable[..., Any] = message
        self.name = message.__name__
        self.fields = dict(zip((field.name for field in attrs.fields(message)), kinds, strict=True))
        places = list(enumerate(self.fields.values(), start=1))

        def pick(*wanted: Field) -> Callable[[Any], Sequence[Any]]:
            return _pick(itemgetter, [at for at, field in places if field in wanted])

        self._values = _pick(attrgetter, list(self.fields))
        self._shape = [int, *(PYTHON_TYPES.get(field, list) for field in self.fields.values())]
        self._rows = pick(Field.INTS, Field.COUNTS, Field.TOKENS)
        self._flats = pick(Field.KINDS, Field.KEYS, Field.VALUES, Field.QUERIES, Field.ANSWERS, Field.VERSIONS)
        self._scalars = pick(Field.INT)
        self._int_columns = pick(Field.INTS, Field.COUNTS, Field.VERSIONS)
        self._counts = next((at for at, field in places if field is Field.COUNTS), 0)
        self._specials = [(_SPECIALS[field], at) for at, field in places if field in _SPECIALS]
        self._nested = next(((at, field) for at, field in places if field in {Field.ENTRIES, Field.RECORD}), None)

    def write(self, message: Any) -> list[Any]:
        """The section of a message, ready for CBOR."""
        section = [self.tag, *self._values(message)]
        if self._nested is not None:
            at, field = self._nested
            inner = section[at]
            section[at] = [*map(_ENTRY._values, inner)] if field is Field.ENTRIES else _RECORD._values(inner)  # noqa: SLF001 - the same class
        return section

    def read(self, section: list[Any], size: int) -> tuple[Any, int]:
        """Judge a section and make its message.

        Args:
            section: the decoded array, its tag first; its columns become the message's.
            size: bytes of the whole payload.

        Returns:
            The message, and how much of ``commands_per_frame_max`` it uses.

        Raises:
            WireError: the section is not what the class says.
        """
        if [*map(type, section)] != self._shape:
            self._refuse_shape(section)
        lengths = {*map(len, self._rows(section))}
        if len(lengths) > 1:
            raise WireError("columns_disagree", "columns of runs are not equally long")
        check_ints([*chain(self._scalars(section), *self._int_columns(section))])
        total = max(lengths, default=0)
        if self._counts:
            counts = section[self._counts]
            if counts and min(counts) < 1:
                raise WireError("out_of_range", "a run of nothing")
            total = sum(counts)
            if not {total}.issuperset(map(len, self._flats(section))):
                raise WireError("columns_disagree", "a flat column is not as long as the sum of the counts")
        used = total
        for special, at in self._specials:
            used += special(section, at, total, size)
        return self.message(*section[1:]), used

    def _refuse_shape(self, section: list[Any]) -> None:
        """Say what is wrong with a section's fields (a whole number of seconds is not: many languages cannot write 10.0)."""
        if len(section) != len(self._shape):
            raise WireError("wrong_field_count", f"{len(section) - 1} fields instead of {len(self.fields)}")
        for (name, field), kind, item in zip(self.fields.items(), self._shape[1:], section[1:], strict=True):
            if type(item) is not kind and field is not Field.SECONDS:
                raise WireError("wrong_type", f"{name} must be {field.value}")


def _seconds(section: list[Any], at: int, _total: int, _size: int) -> int:
    check_seconds(section[at], float, int)
    return 0


def _replica(section: list[Any], at: int, _total: int, _size: int) -> int:
    check_ints([section[at]], -1)
    return 0


def _tokens(section: list[Any], at: int, _total: int, _size: int) -> int:
    check_tokens(section[at])
    return 0


def _commands(section: list[Any], at: int, _total: int, size: int) -> int:
    """The last of the three columns ``kinds, keys, values`` stands for all of them."""
    check_keys(section[at - 1])
    check_values(section[at - 2], section[at], size)
    return 0


def _queries(section: list[Any], at: int, _total: int, _size: int) -> int:
    check_queries(section[at])
    return 0


def _answers(section: list[Any], at: int, _total: int, size: int) -> int:
    check_answers(section[at], size)
    return 0


def _integer_rows(width: int, *, outcome: bool, placed: bool = False) -> Special:
    """Rows of integers; in the last place an outcome, in the first a place of the runs."""

    def special(section: list[Any], at: int, total: int, _size: int) -> int:
        rows: Column = section[at]
        if rows:
            items = check_rows(rows, width)
            check_ints(items)
            if outcome:
                check_outcomes(items[width - 1 :: width])
            if placed and max(items[::width]) >= total:
                raise WireError("out_of_range", "a result for a place that the runs do not have")
        return len(rows)

    return special


def _system(section: list[Any], at: int, _total: int, _size: int) -> int:
    check_system(section[at])
    return len(section[at])


def _entries(section: list[Any], at: int, _total: int, size: int) -> int:
    entries, used = [], 0
    for fields in section[at]:
        if type(fields) is not list:
            raise WireError("wrong_type", "an entry is no array")
        entry, commands = _ENTRY.read([0, *fields], size)
        entries.append(entry)
        used += commands + 1
    section[at] = entries
    return used


def _record(section: list[Any], at: int, _total: int, size: int) -> int:
    section[at], used = _RECORD.read([0, *section[at]], size)
    return used


_SPECIALS: dict[Field, Special] = {
    Field.SECONDS: _seconds,
    Field.REPLICA: _replica,
    Field.TOKENS: _tokens,
    Field.VALUES: _commands,
    Field.QUERIES: _queries,
    Field.ANSWERS: _answers,
    Field.PLACED: _integer_rows(2, outcome=True, placed=True),
    Field.NUMBERED: _integer_rows(3, outcome=True),
    Field.REFUSALS: _integer_rows(2, outcome=False),
    Field.LAGGING: _integer_rows(3, outcome=False),
    Field.SYSTEM: _system,
    Field.ENTRIES: _entries,
    Field.RECORD: _record,
}
"""What a column needs beyond its type, its length and the one pass over all integers."""


def _pick(getter: Callable[..., Callable[[Any], Any]], what: Sequence[Any]) -> Callable[[Any], Sequence[Any]]:
    """``itemgetter`` or ``attrgetter`` of any number of things that always gives a sequence."""
    match what:
        case []:
            return lambda _source: ()
        case [one]:
            get = getter(one)
            return lambda source: (get(source),)
        case _:
            return getter(*what)


LAYOUTS: tuple[Layout, ...] = tuple(Layout(tag, message, fields) for tag, message, fields in _TABLE)
"""Every section, by tag; the Entry last. The documentation and the tests read the table here."""

_BY_CLASS = {layout.message: layout for layout in LAYOUTS}
_BY_TAG = {layout.tag: layout for layout in LAYOUTS if layout.tag != _NESTED}
_ENTRY, _RECORD = _BY_CLASS[m.Entry], _BY_CLASS[m.Record]


def encode(incarnation: int, messages: Iterable[Message]) -> bytes:
    """Encode the payload of one frame; the fast way for messages that go to one link."""
    return cbor2.dumps([incarnation, *(_BY_CLASS[type(message)].write(message) for message in messages)])


def encode_section(message: Message) -> bytes:
    """Encode one message, to be shared by the frames of several links through ``assemble``."""
    return cbor2.dumps(_BY_CLASS[type(message)].write(message))


def assemble(incarnation: int, sections: Sequence[bytes]) -> list[bytes]:
    """The payload of one frame out of encoded sections, as buffers to be sent one after the other; nothing is copied."""
    return [_array_head(len(sections) + 1) + cbor2.dumps(incarnation), *sections]


def _array_head(length: int) -> bytes:
    if length < 24:  # noqa: PLR2004 - RFC 8949 section 3: the length stands in the head itself
        return bytes([0x80 | length])
    if length < 1 << 8:
        return bytes([0x98, length])
    return b"\x99" + length.to_bytes(2)


def decode(payload: bytes, *, limits: WireLimits) -> tuple[int, list[Message]]:
    """Decode the payload of one frame.

    Args:
        payload: any bytes at all.
        limits: what a frame may carry.

    Returns:
        The sender's incarnation, and its messages in order.

    Raises:
        WireError: the payload is not one that ``encode`` makes; the sender is to blame. Never anything else.
    """
    frame = parse(payload, limits.items_per_frame_max)
    if type(frame) is not list or not frame or type(frame[0]) is not int or not 0 <= frame[0] <= INT_MAX:
        raise WireError("not_a_frame", "the payload is no array that starts with an incarnation")
    incarnation, *sections = frame
    if len(sections) > limits.sections_per_frame_max:
        raise WireError("too_many_sections", f"more than {limits.sections_per_frame_max} sections")
    size, room, messages = len(payload), limits.commands_per_frame_max, []
    for section in sections:
        if type(section) is not list or not section or type(section[0]) is not int:
            raise WireError("not_a_section", "a section is no array that starts with a tag")
        layout = _BY_TAG.get(section[0])
        if layout is None:
            raise WireError("unknown_tag", f"no message has the tag {section[0]}")
        try:
            message, used = layout.read(section, size)
        except WireError as error:
            raise WireError(error.reason, f"{layout.name}: {error.detail}") from None
        room -= used
        if room < 0:
            raise WireError("too_many_commands", f"more than {limits.commands_per_frame_max} commands")
        messages.append(message)
    return incarnation, messages
