"""The codec: messages to bytes and back. The only module that knows tags.

A payload (what one frame carries) is the CBOR array ``[incarnation, section, section, ...]``: the sender's incarnation, 0 from clients, then
one array ``[tag, field, field, ...]`` for each message, its fields in the order of ``replica.core.messages``.  An ``Entry`` inside an
``Accept`` is an array of its fields, a ``Record`` inside a ``Forward`` too.

Encoding trusts the core.  Decoding trusts nobody: what it returns has the types, the lengths and the limits that the messages promise, and any
other payload ends as a ``WireError`` with a reason, in time and memory bounded by its size.  What a message *means* (numbers that do not
follow each other, a session nobody opened, a view of the past) is the core's to judge.

How a section is judged stands in ``replica.wire_layout``, how a column is in ``replica.wire_columns``, how bytes become lists in
``replica.wire_cbor``.

A tag is forever: a message whose fields change gets a new one, and its old tag is not used again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from replica.core import messages as m
from replica.wire_cbor import INT_MAX, WireError, parse
from replica.wire_columns import Field
from replica.wire_layout import Layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from replica.core.messages import Message

__all__ = ["ENTRY", "LAYOUTS", "RECORD", "Layout", "WireError", "WireLimits", "assemble", "decode", "encode", "encode_section"]


@attrs.frozen
class WireLimits:
    """What one frame may carry; more is refused, so senders must know it too.

    Attributes:
        commands_per_frame_max: rows of columns, summed over all sections of the frame: commands, reads, acknowledged sessions.
        sections_per_frame_max: messages in the frame.
        items_per_frame_max: CBOR items, all depths counted, an array as 9; looked at in frames over ``UNSURVEYED_BYTES_MAX`` only. A put is
            2 and its share of the run's columns, a row of a scan 12.
    """

    commands_per_frame_max: int = 16_384
    sections_per_frame_max: int = 1_024

    items_per_frame_max: int = 262_144


_I, _F = Field.INT, Field
_RUNS = (_F.INTS, _F.INTS, _F.COUNTS)
_COMMANDS = (_F.KINDS, _F.KEYS, _F.VALUES)

RECORD = Layout(5, m.Record, (*_RUNS, _F.INTS, _F.INTS, *_COMMANDS))
ENTRY = Layout(0, m.Entry, (_I, _I, _I, _F.SYSTEM, *_RUNS, _F.INTS, *_COMMANDS))

LAYOUTS: tuple[Layout, ...] = (
    # client -> replica
    Layout(1, m.OpenSession, (_F.TOKENS, _F.SECONDS)),
    Layout(2, m.CloseSession, (_F.INTS, _F.INTS)),
    Layout(3, m.KeepAlive, (_F.INTS,)),
    Layout(4, m.Home, (_F.INTS, _F.FLAG)),
    RECORD,
    Layout(6, m.StrongRead, (*_RUNS, _F.INTS, _F.QUERIES)),
    Layout(7, m.Anchor, (_F.INTS, _F.INTS, _F.INTS)),
    Layout(8, m.ReadIndex, (*_RUNS, _F.INTS, _F.QUERIES)),
    Layout(9, m.CausalRead, (*_RUNS, _F.INTS, _F.QUERIES)),
    Layout(10, m.Ping, (_I,)),
    # replica -> client
    Layout(11, m.SessionOpened, (_F.TOKENS, _F.INTS)),
    Layout(12, m.RecordAck, (_I, _I, _F.INTS, _F.INTS, _F.INTS, _F.REFUSALS)),
    Layout(13, m.SpecReply, (_I, _I, _I, *_RUNS, _F.PLACED)),
    Layout(14, m.Applied, (_I, _I, _F.FLAG, _I, _F.INTS, _F.INTS, _F.NUMBERED)),
    Layout(15, m.StrongReadReply, (_I, _I, _F.FLAG, _I, *_RUNS, _F.ANSWERS, _F.VERSIONS)),
    Layout(16, m.AnchorAck, (_I, _I, _F.INTS, _F.INTS, _F.INTS)),
    Layout(17, m.CausalReadReply, (_I, _I, *_RUNS, _F.INTS, _F.ANSWERS, _F.VERSIONS, _F.LAGGING)),
    Layout(18, m.Leader, (_I, _I, _F.REPLICA)),
    Layout(19, m.Pong, (_I,)),
    Layout(33, m.Members, (_I, _F.FLAG, _F.MEMBERS)),
    # replica -> replica
    Layout(20, m.Accept, (_I, _I, _I, _I, _I, _I, _F.ENTRIES), ENTRY),
    Layout(21, m.AcceptAck, (_I, _I, _I, _I, _F.INTS)),
    Layout(22, m.AcceptNack, (_I, _I, _I, _I)),
    Layout(23, m.Forward, (_F.RECORD,), RECORD),
    Layout(24, m.Vote, (_I, _I, _I, _I, _F.FLAG, _F.FLAG)),
    Layout(25, m.VoteReply, (_I, _I, _I, _F.FLAG, _F.FLAG)),
    Layout(26, m.Collect, (_I, _I, _I)),
    Layout(27, m.WitnessState, (_I, _I, _I, _I, _I, *_RUNS, _F.INTS, *_COMMANDS, _F.LEVELS)),
    Layout(28, m.TakeOver, (_I, _I)),
    Layout(32, m.SnapshotPart, (_I, _I, _I, _I, _I, _I, _I, _F.FLAG, _F.MEMBERS, _F.PLAIN)),
    Layout(30, m.SnapshotAck, (_I, _I, _I, _I)),
    Layout(31, m.Rejoin, (_I, _I)),
    Layout(34, m.StateHash, (_I, _I)),
    Layout(35, m.Contact, (_F.KEYS,)),
    ENTRY,
)
"""Every section, by tag; last the Entry, which has none. The documentation and the tests read the table here."""

_ENCODERS = {layout.message: layout.encode for layout in LAYOUTS}
_BY_TAG = {layout.tag: layout for layout in LAYOUTS if layout is not ENTRY}


def encode(incarnation: int, messages: Iterable[Message]) -> bytes:
    """Encode the payload of one frame; the fast way for messages that go to one link."""
    return b"".join(assemble(incarnation, [_ENCODERS[type(message)](message) for message in messages]))


def encode_section(message: Message) -> bytes:
    """Encode one message, to be shared by the frames of several links through ``assemble``."""
    return _ENCODERS[type(message)](message)


def assemble(incarnation: int, sections: Sequence[bytes]) -> list[bytes]:
    """The payload of one frame out of encoded sections, as buffers to be sent one after the other; nothing is copied."""
    return [_array_head(len(sections) + 1) + b"\x1b" + incarnation.to_bytes(8), *sections]


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
