from __future__ import annotations

from typing import TYPE_CHECKING, Any, get_args

import attrs
import cbor2
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from replica.core import journal as j
from replica.core import messages as m
from replica.core.configuration import Configuration
from replica.journal_codec import LAYOUTS, decode_record, encode_metadata, encode_record, restore, snapshot_chunks
from replica.storage.errors import Corrupt
from statemachine.command import CAS_VALUE, CAUSAL, DELETE, PUT
from statemachine.moment import InvalidSnapshot
from statemachine.sessions import Sessions
from statemachine.store import Store
from tests.fuzz.frames import make_message

if TYPE_CHECKING:
    from collections.abc import Callable

WHERE = "disk: record 7"


class Drawn:
    """Choices by Hypothesis."""

    def __init__(self, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
        self._draw = draw

    def number(self, least: int, most: int) -> int:
        return int(self._draw(st.integers(least, most)))

    def blob(self, least: int, most: int) -> bytes:
        return bytes(self._draw(st.binary(min_size=least, max_size=most)))


@st.composite
def records(draw: Callable[[st.SearchStrategy[Any]], Any]) -> j.JournalRecord:
    record: j.JournalRecord = make_message(draw(st.sampled_from(list(LAYOUTS.values()))), Drawn(draw))
    return record


def kinds_of_all(value: Any) -> Any:
    """Return the types of everything in a record: 1 == 1.0 == True, and the codec must keep them apart."""
    if isinstance(value, list):
        return [kinds_of_all(item) for item in value]
    return [kinds_of_all(getattr(value, field.name)) for field in attrs.fields(type(value))] if attrs.has(type(value)) else type(value)


# -------------------------------------------------------------------------------------------------------------------------- records


def test_every_record_of_a_journal_has_a_kind() -> None:
    assert {layout.message for layout in LAYOUTS.values()} == set(get_args(j.JournalRecord))


def test_kinds_are_forever() -> None:
    """What is on disks tells its kind by these numbers: one more may come, none may change."""
    kinds = {kind: layout.name for kind, layout in LAYOUTS.items()}
    assert {1: "Entry", 2: "Record", 3: "Levels", 4: "Voted", 5: "Cut", 6: "Committed", 7: "Forgotten", 8: "Installed"}.items() <= kinds.items()


@given(records())
def test_every_record_comes_back_as_it_went_in(record: j.JournalRecord) -> None:
    back = decode_record(*encode_record(record), WHERE)
    assert back == record
    assert kinds_of_all(back) == kinds_of_all(record)


def test_nobody_can_be_voted_for() -> None:
    assert decode_record(*encode_record(j.Voted(3, -1)), WHERE) == j.Voted(3, -1)


@pytest.mark.parametrize(
    ("kind", "payload", "why"),
    [
        (99, cbor2.dumps([1]), "unknown_tag"),
        (0, cbor2.dumps([1]), "unknown_tag"),
        (5, b"", "malformed"),
        (5, b"\x81", "malformed"),
        (5, cbor2.dumps(7), "wrong_type"),
        (5, cbor2.dumps({1: 2}), "map"),
        (5, cbor2.dumps([]), "wrong_field_count"),
        (5, cbor2.dumps([1, 2]), "wrong_field_count"),
        (5, cbor2.dumps([True]), "wrong_type"),
        (5, cbor2.dumps([-1]), "out_of_range"),
        (5, cbor2.dumps([1]) + b"\0", "trailing_bytes"),
        (4, cbor2.dumps([1, -2]), "out_of_range"),
        (3, cbor2.dumps([[1], [1, 2], [1]]), "columns_disagree"),
        (2, cbor2.dumps([[1], [1], [2], [0], [1], b"\0", [b"k"], [b"v"]]), "columns_disagree"),
        (1, cbor2.dumps([1, 1, 0, [[77]], [], [], [], [], b"", [], []]), "wrong_shape"),
    ],
)
def test_garbage_with_a_right_checksum_is_refused_by_name(kind: int, payload: bytes, why: str) -> None:
    with pytest.raises(Corrupt, match=f"{WHERE}.*cannot read: {why}"):
        decode_record(kind, payload, WHERE)


SHORT_RECORDS = st.tuples(st.sampled_from(list(LAYOUTS)), st.lists(st.integers(0, 9), min_size=1, max_size=3).map(cbor2.dumps))


@given(SHORT_RECORDS | st.tuples(st.integers(0, 12) | st.integers(0, 255), st.binary(max_size=40)))
@example((5, cbor2.dumps([3])))
def test_any_bytes_are_a_record_or_refused(stored: tuple[int, bytes]) -> None:
    kind, payload = stored
    try:
        record = decode_record(kind, payload, WHERE)
    except Corrupt:
        return
    again = encode_record(record)
    assert again[0] == kind
    assert decode_record(*again, WHERE) == record


def test_a_record_with_as_many_commands_as_an_entry_holds_can_be_read() -> None:
    count = 1 << 14
    entry = m.Entry(1, 1, 0, [], [9], [1], [count], [1], bytes(count), [b"k%d" % number for number in range(count)], [b"v"] * count)
    assert decode_record(*encode_record(entry), WHERE) == entry


# ------------------------------------------------------------------------------------------------------------------------ snapshots


STEPS = st.lists(st.tuples(st.sampled_from(["put", "delete", "cas", "open", "close", "expire", "drop"]), st.integers(0, 5)), min_size=1, max_size=30)


def state_after(steps: list[tuple[str, int]]) -> tuple[Store, Sessions, int]:
    """Apply a history; returns what it leaves and its last position."""
    store, sessions, position = Store(), Sessions(3), 0
    for step, choice in steps:
        position += 1
        opened = list(sessions.table)
        session = opened[choice % len(opened)] if opened else 0
        match step:
            case "put" | "delete":
                kind = PUT if step == "put" else DELETE | CAUSAL
                store.apply(bytes([kind]), [b"k%d" % choice], [b"v%d" % position if step == "put" else None], position)
            case "cas" if session:
                outcome = store.apply(bytes([CAS_VALUE]), [b"k%d" % choice], [[None, b"w"]], position)
                sessions.record(session, sessions.table[session].applied + 1, 1, outcome, 1)
            case "open":
                sessions.open(position, b"t%d" % position, 1.5)
            case "close":
                sessions.close(session)
            case "expire":
                sessions.expire(session)
            case _:
                store.drop_tombstones(position - choice)
    return store, sessions, position


def told(store: Store, sessions: Sessions) -> tuple[bytes, list[bytes]]:
    """Tell a state as a snapshot file does, in small chunks."""
    table = sessions.snapshot()
    return encode_metadata(5, 2, 9, len(table)), list(snapshot_chunks(store.snapshot(chunk_keys=2), table))


@given(STEPS)
def test_chunks_become_an_equal_store_and_session_table(steps: list[tuple[str, int]]) -> None:
    store, sessions, _ = state_after(steps)
    metadata, chunks = told(store, sessions)
    applied = restore(metadata, iter(chunks), 3, WHERE)
    assert (applied.index, applied.view, applied.position) == (5, 2, 9)
    assert applied.store.freeze() == store.freeze()
    assert applied.sessions.freeze() == sessions.freeze()
    assert applied.sessions.tokens == sessions.tokens


@pytest.mark.parametrize("configuration", [None, Configuration(7, (0, 3), (4,), ((4, 0),), (1, 2), ((3, "host:7003"), (4, "")))])
def test_a_snapshot_tells_who_belongs_to_the_cluster(configuration: Configuration | None) -> None:
    """Or nobody: who begins a cluster of its own with it has another first configuration."""
    table = Sessions().snapshot()
    metadata = encode_metadata(5, 2, 9, len(table), configuration)
    assert restore(metadata, snapshot_chunks(Store().snapshot(), table), 3, WHERE).configuration == configuration


@given(STEPS, STEPS)
def test_what_is_restored_goes_on_as_the_original_would(before: list[tuple[str, int]], after: list[tuple[str, int]]) -> None:
    store, sessions, position = state_after(before)
    applied = restore(*told(store, sessions), 3, WHERE)
    for one, table in ((store, sessions), (applied.store, applied.sessions)):
        for place, (step, choice) in enumerate(after, position + 1):
            if step in {"put", "delete"}:
                one.apply(bytes([PUT if step == "put" else DELETE]), [b"k%d" % choice], [b"x" if step == "put" else None], place)
            elif step == "open":
                table.open(place, b"t%d" % choice, 2.0)
            elif table.table:
                table.expire(list(table.table)[choice % len(table.table)])
    assert (applied.store.freeze(), applied.sessions.freeze()) == (store.freeze(), sessions.freeze())


@given(STEPS, st.data())
def test_a_snapshot_that_lacks_a_chunk_is_refused(steps: list[tuple[str, int]], data: st.DataObject) -> None:
    metadata, chunks = told(*state_after(steps)[:2])
    del chunks[data.draw(st.integers(0, len(chunks) - 1))]
    with pytest.raises(Corrupt, match=f"{WHERE}.*no snapshot of ours"):
        restore(metadata, chunks, 3, WHERE)


GARBAGE = [
    b"",
    b"\x81",
    cbor2.dumps(5),
    cbor2.dumps([]),
    cbor2.dumps([1]),
    cbor2.dumps({}),
    cbor2.dumps([[b"k"], [b"v"], [0]]),
    cbor2.dumps([[7]] * 3),
]


@pytest.mark.parametrize("garbage", GARBAGE)
@pytest.mark.parametrize("place", range(5))
def test_a_snapshot_with_an_altered_chunk_is_refused(garbage: bytes, place: int) -> None:
    metadata, chunks = told(*state_after([("open", 0), ("put", 1), ("put", 2), ("cas", 3)])[:2])
    assert len(chunks) == 5
    chunks[place] = garbage
    with pytest.raises(Corrupt, match=f"{WHERE}.*no snapshot of ours"):
        restore(metadata, chunks, 3, WHERE)


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        (cbor2.dumps([1, 5, 2, 9, 1]), "a snapshot of format 1, which this version cannot read"),
        (cbor2.dumps([3, 5, 2, 9, 1, []]), "format 3"),
        (cbor2.dumps([2, 5, 2, 9, 1]), "no snapshot of ours"),
        (cbor2.dumps([2, 5, 2, 9, -1, []]), "no snapshot of ours"),
        (cbor2.dumps([2, 5, 2, 9, b"x", []]), "no snapshot of ours"),
        (cbor2.dumps([2, 5, 2, 9, 1, [1, [0, 1]]]), "no snapshot of ours: no configuration"),
        (cbor2.dumps([2, 5, 2, 9, 1, 7]), "no snapshot of ours: no configuration"),
        (cbor2.dumps([]), "no snapshot of ours"),
        (cbor2.dumps(7), "no snapshot of ours"),
        (b"\x85", "no snapshot of ours"),
        (b"", "no snapshot of ours"),
    ],
)
def test_a_snapshot_that_says_something_else_of_itself_is_refused(metadata: bytes, why: str) -> None:
    _, chunks = told(Store(), Sessions())
    with pytest.raises(Corrupt, match=f"{WHERE}.*{why}"):
        restore(metadata, chunks, 3, WHERE)


NUMBER = st.integers(-(1 << 64), (1 << 64) - 1) | st.integers(0, 2)
ANYTHING = st.recursive(
    st.none() | st.booleans() | NUMBER | st.floats() | st.binary(max_size=3) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=6),
    max_leaves=12,
)
NUMBERS = st.tuples(st.just(2), *[st.integers(0, 3)] * 4).map(list)


@given(ANYTHING | st.tuples(NUMBERS, ANYTHING).map(lambda pair: [*pair[0], pair[1]]), st.lists(ANYTHING, max_size=3))
@example([2, 1, 1, 1, (1 << 64) - 1, []], [[0, []]])
@example([2.0, 1, 1, 1, 1, []], [[0, []], [1, 0, 0]])
def test_any_metadata_and_chunks_are_a_snapshot_or_refused(metadata: Any, chunks: list[Any]) -> None:
    try:
        applied = restore(cbor2.dumps(metadata), map(cbor2.dumps, chunks), 3, WHERE)
    except Corrupt:
        return
    assert [type(number) for number in (metadata[0], applied.index, applied.view, applied.position)] == [int] * 4


def test_a_refused_snapshot_says_what_refused_it() -> None:
    metadata, chunks = told(Store(), Sessions())
    with pytest.raises(Corrupt) as refused:
        restore(metadata, chunks[:1], 3, WHERE)
    assert isinstance(refused.value.__cause__, InvalidSnapshot)


@pytest.mark.parametrize("part", [Store, Sessions])
def test_a_fault_of_our_own_is_not_told_as_a_corrupt_disk(part: type, monkeypatch: pytest.MonkeyPatch) -> None:
    def faulty(*_: object) -> None:
        raise TypeError("len() of unsized object")

    metadata, chunks = told(Store(), Sessions())
    monkeypatch.setattr(part, "restore", faulty)
    with pytest.raises(TypeError, match="unsized"):
        restore(metadata, chunks, 3, WHERE)
