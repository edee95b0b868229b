"""Journal records to bytes and back, and a state machine to the chunks of a snapshot.

A record's kind is a number that stands beside it in the log; its payload is the CBOR array of its fields, judged on the way back like a frame: what
is on disk was ours, but a disk may give back anything.  Kinds are forever, as tags are on the wire.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import cbor2

from replica.core import journal as j
from replica.core.configuration import Configuration
from replica.core.journal import Applied
from replica.storage.errors import Corrupt
from replica.wire import ENTRY, RECORD
from replica.wire_cbor import WireError, parse
from replica.wire_columns import Field
from replica.wire_layout import Layout
from statemachine.moment import InvalidSnapshot
from statemachine.sessions import Sessions
from statemachine.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from replica.core.journal import JournalRecord

ITEMS_MAX = 1 << 26
"""CBOR items of one record: an entry holds thousands of commands, a checkpoint's levels every session."""

_I, _F = Field.INT, Field

LAYOUTS = {
    1: ENTRY,
    2: RECORD,
    3: Layout(3, j.Levels, (_F.INTS, _F.INTS, _F.INTS)),
    4: Layout(4, j.Voted, (_I, _F.REPLICA)),
    5: Layout(5, j.Cut, (_I,)),
    6: Layout(6, j.Committed, (_I,)),
    7: Layout(7, j.Forgotten, (_I, _I)),
    8: Layout(8, j.Installed, (_I, _I, _I)),
    9: Layout(9, j.Began, (_I,)),
}  # {kind: how its records stand in the log}
_KINDS = {layout.message: kind for kind, layout in LAYOUTS.items()}


def encode_record(record: JournalRecord) -> tuple[int, bytes]:
    """Encode a record as ``(kind, payload)``."""
    kind = _KINDS[type(record)]
    return kind, cbor2.dumps(LAYOUTS[kind].write(record)[1:])


def decode_record(kind: int, payload: bytes, where: str) -> JournalRecord:
    """Decode what ``encode_record`` made.

    Args:
        kind: of the record.
        payload: its bytes.
        where: the record's place, for the error.

    Raises:
        Corrupt: its checksum was right and it is no record of ours: another version's, or a bug.
    """
    try:
        return _read_record(kind, payload)
    except WireError as error:
        raise Corrupt(where, 0, f"a record that this version cannot read: {error}") from None


def _read_record(kind: int, payload: bytes) -> JournalRecord:
    layout = LAYOUTS.get(kind)
    if layout is None:
        raise WireError("unknown_tag", f"no record has the kind {kind}")
    fields = parse(payload, ITEMS_MAX)
    if type(fields) is not list:
        raise WireError("wrong_type", "a record must be an array of its fields")
    record: JournalRecord = layout.read([0, *fields], len(payload))[0]
    return record


# ------------------------------------------------------------------------------------------------------------------------- snapshots

FORMAT = 2


def encode_metadata(index: int, view: int, position: int, sessions_chunks: int, configuration: Configuration | None = None) -> bytes:
    """Encode what a snapshot says of itself: the last entry in it, how many of its chunks are sessions, and who belongs to the cluster.

    Args:
        index: of the last entry.
        view: likewise.
        position: of its last command.
        sessions_chunks: the first chunks are so many of sessions.
        configuration: at that entry; None for a snapshot that is to begin a cluster of its own.
    """
    return cbor2.dumps([FORMAT, index, view, position, sessions_chunks, configuration.items() if configuration is not None else []])


def snapshot_chunks(store: Iterable[list[object]], sessions: Iterable[list[object]]) -> Iterator[bytes]:
    """Encode the chunks of a state machine's parts one by one, sessions first."""
    for chunk in sessions:
        yield cbor2.dumps(chunk)
    for chunk in store:
        yield cbor2.dumps(chunk)


def restore(metadata: bytes, chunks: Iterable[bytes], tombstone_sessions_max: int, where: str) -> Applied:
    """Build the state machine that a snapshot tells.

    Raises:
        Corrupt: checksums were right and it is no snapshot of ours.
    """
    index, view, position, sessions_chunks, configuration = _read_metadata(metadata, where)
    stream = iter(chunks)
    told = [_plain(chunk, where) for chunk in islice(stream, sessions_chunks)]
    try:
        sessions = Sessions.restore(told, tombstone_sessions_max)
        store = Store.restore(_plain(chunk, where) for chunk in stream)
    except InvalidSnapshot as error:  # nothing else: a fault of our own is no corrupt disk
        raise Corrupt(where, 0, f"no snapshot of ours: {error}") from error
    return Applied(store, sessions, index, view, position, configuration)


def _read_metadata(payload: bytes, where: str) -> tuple[int, int, int, int, Configuration | None]:
    """Return what ``encode_metadata`` was given."""
    match _plain(payload, where):
        case [int(form), *_] if form != FORMAT:
            raise Corrupt(where, 0, f"a snapshot of format {form}, which this version cannot read")
        case [form, index, view, position, sessions_chunks, members] if all(
            type(number) is int and 0 <= number < 1 << 63 for number in (form, index, view, position, sessions_chunks)
        ):
            try:
                return index, view, position, sessions_chunks, None if members == [] else Configuration.from_items(members)
            except ValueError as error:
                raise Corrupt(where, 0, f"no snapshot of ours: {error}") from error
        case _:
            raise Corrupt(where, 0, "no snapshot of ours: its metadata are not a format, four numbers and a configuration")


def _plain(payload: bytes, where: str) -> Any:
    try:
        return parse(payload, ITEMS_MAX)
    except WireError as error:
        raise Corrupt(where, 0, f"no snapshot of ours: {error}") from error
