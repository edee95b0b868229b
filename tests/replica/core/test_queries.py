from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from replica.core.config import CoreConfig
from replica.core.effects import LinkUp, Received
from replica.core.messages import CausalRead, CausalReadReply
from replica.core.node import FRAME_VALUE_BYTES_MAX
from replica.core.queries import ANSWER_BYTES_MAX, pieces, query
from replica.core.replica import Replica
from statemachine.command import DELETE, PUT
from statemachine.store import Store

if TYPE_CHECKING:
    from replica.core.messages import Query, Value

LINK = ("link", 1)


def store_of(**values: bytes) -> Store:
    store = Store()
    for position, (key, value) in enumerate(values.items(), 1):
        store.apply(bytes([PUT]), [key.encode()], [value], position)
    return store


# --------------------------------------------------------------------------------------------------------------------------- reading


def test_keys_are_read_as_a_column() -> None:
    assert query(store_of(a=b"1", b=b"2"), 9, [b"b", b"x", b"a"]) == ([b"2", None, b"1"], [2, 0, 1])


def test_a_tombstone_has_a_version() -> None:
    store = store_of(a=b"1")
    store.apply(bytes([DELETE]), [b"a"], [None], 5)
    assert query(store, 9, [b"a"]) == ([None], [5])


def test_scans_and_keys_may_be_mixed() -> None:
    queries: list[Query] = [b"a", [b"a", None, 1], [b"b", b"c", 9], b"x", [b"x", None, 9]]
    values, versions = query(store_of(a=b"1", b=b"2"), 9, queries)
    assert values == [b"1", [[[b"a", b"1", 1]], True], [[[b"b", b"2", 2]], False], None, [[], False]]
    assert versions == [1, 9, 9, 0, 9], "a scan has seen the whole prefix: also what is not there"


def test_no_queries_have_no_answers() -> None:
    assert query(Store(), 0, []) == ([], [])


# --------------------------------------------------------------------------------------------------------------------- large answers


def test_small_answers_are_one_piece_of_the_columns_themselves() -> None:
    sessions, firsts, counts, versions = [1, 2], [1, 1], [2, 1], [1, 0, 7]
    values: list[Value] = [b"a", None, [[[b"k", b"vv", 1]], False]]
    ((*columns, size),) = pieces(sessions, firsts, counts, values, versions)
    assert columns == [sessions, firsts, counts, values, versions]
    assert size == 4


@pytest.mark.parametrize("value_bytes", [ANSWER_BYTES_MAX // 4, ANSWER_BYTES_MAX - 1, ANSWER_BYTES_MAX + 1])
def test_large_answers_are_cut_and_nothing_is_lost(value_bytes: int) -> None:
    values: list[Value] = [bytes([place]) * value_bytes for place in range(12)]
    found = pieces([7, 8], [3, 100], [5, 7], values, list(range(12)))
    rows = []
    for sessions, firsts, counts, some, versions, size in found:
        assert len(sessions) == len(firsts) == len(counts) == 1
        assert counts == [len(some)] == [len(versions)]
        assert size == sum(len(value) for value in some if isinstance(value, bytes))
        assert size <= ANSWER_BYTES_MAX or len(some) == 1
        rows += [(sessions[0], firsts[0] + place, value, version) for place, (value, version) in enumerate(zip(some, versions, strict=True))]
    numbers = [(7, 3 + place) for place in range(5)] + [(8, 100 + place) for place in range(7)]
    assert rows == [(*number, value, version) for number, value, version in zip(numbers, values, range(12), strict=True)]


@pytest.mark.parametrize("value_bytes", [500, 5_000, 60_000, 1_000_000])
def test_one_turns_answers_fit_into_frames_however_many_they_are(value_bytes: int) -> None:
    """A frame over its limit would cost the client its link."""
    replica = Replica(CoreConfig(id=1, voters=(0, 1, 2)))
    replica.node.store.apply(bytes([PUT]), [b"k"], [bytes(value_bytes)], 1)
    replica.step(LinkUp(LINK, peer=False), 0.0)
    replica.take_effects(0.0)
    reads = max(30_000_000 // value_bytes, 40)
    for number in range(min(reads, 1000)):
        replica.step(Received(LINK, [CausalRead([1], [number + 1], [1], [0], [b"k"])]), 0.0)
    frames = [sections for _, sections in replica.take_effects(0.0).replies]
    sizes = [sum(len(value) for reply in frame if isinstance(reply, CausalReadReply) for value in reply.values if value) for frame in frames]
    assert max(sizes) <= FRAME_VALUE_BYTES_MAX
    answered = [number for frame in frames for reply in frame if isinstance(reply, CausalReadReply) for number in reply.firsts]
    assert answered == list(range(1, min(reads, 1000) + 1)), "in order"
