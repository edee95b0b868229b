from __future__ import annotations

import pytest

from loadgen.checkers.operation import Unreadable
from loadgen.checkers.sources import sources_of, values_by_version
from tests.loadgen.checkers.scripts import history


def sights(text: str) -> dict[int, list[tuple[str, int | None]]]:
    found = sources_of(history(text)).sights
    return {place: [(key.decode(), writer.place if writer else None) for key, writer in each] for place, each in found.items()}


def test_reads_are_traced_to_their_writes() -> None:
    text = """
        a put x 1
        b get x = 1 @5
        b get y = -
        b cas x 1 2
        c scan a z 9 = x:2
        c put y 3
        c cas x @5 4 refused
    """
    assert sights(text) == {1: [("x", 0)], 2: [("y", None)], 3: [("x", 0)], 4: [("x", 3), ("y", None)]}


def test_a_cas_by_version_saw_the_value_of_that_version() -> None:
    text = "a put x 1\nb get x = 1 @5\nc cas x @5 2\nc cas x @6 3"
    assert sights(text) == {1: [("x", 0)], 2: [("x", 0)]}
    assert values_by_version(history(text)) == {(b"x", 5): b"1"}


def test_what_nobody_saw_and_nobody_knows_never_happened() -> None:
    sources = sources_of(history("a put x 1 unknown\na put x 2 unknown\na put x 3 fail\nb get x = 2 @9\na delete y"))
    assert {key: [write.place for write in writes] for key, writes in sources.writes.items()} == {b"x": [1], b"y": [4]}
    assert (sources.versions, list(sources.deletes)) == ({1: 9}, [b"y"])


def test_a_delete_that_nobody_knows_of_may_be_why_a_key_is_absent() -> None:
    sources = sources_of(history("a put x 1\nb delete x unknown\nc delete x fail\na get x = -"))
    assert {key: [write.place for write in writes] for key, writes in sources.writes.items()} == {b"x": [0]}
    assert {key: [delete.place for delete in deletes] for key, deletes in sources.deletes.items()} == {b"x": [1]}


def test_a_cas_whose_value_was_seen_did_swap_whatever_its_sender_knows() -> None:
    assert sights("a put x 1\nb cas x 1 2 unknown\nc get x = 2") == {1: [("x", 0)], 2: [("x", 1)]}
    chain = "a put x 1\nb cas x 1 2 unknown\nb cas x 2 3 unknown\nb cas x - 4 unknown\nc get x = 3\nd get x = 4"
    assert sights(chain) == {1: [("x", 0)], 2: [("x", 1)], 3: [("x", None)], 4: [("x", 2)], 5: [("x", 3)]}
    assert sights("a put x 1\nb get x = 1 @4\nc cas x @4 2 unknown\nc cas x @5 3 unknown\nd get x = 2\nd get x = 3") == {
        1: [("x", 0)], 2: [("x", 0)], 4: [("x", 2)], 5: [("x", 3)],
    }  # fmt: skip


def test_and_what_it_saw_had_been_written_before_its_own_value_was_known() -> None:
    for text in ("b cas x 1 2 unknown\nc get x = 2", "b cas x 1 2 unknown\nc get x = 2\na put x 1\nd get x = 2"):
        assert [reading[0].place for reading in sources_of(history(text)).thin_air] == [0]


def test_what_a_refused_cas_did_not_find_is_traced_too() -> None:
    text = "a put x 1\nb get x = 1 @4\nc cas x 1 2 refused\nc cas x @4 3 refused\nc cas x - 4 refused\nc cas x @9 5 refused\nc cas x 7 6 refused"
    refusals = sources_of(history(text)).refusals
    assert {place: writer.place if writer else None for place, writer in refusals.items()} == {2: 0, 3: 0, 4: None}


def test_values_from_nowhere_from_the_future_and_of_failed_commands_are_told() -> None:
    sources = sources_of(history("a get x = 1\na put x 1\na get x = 2\na put x 3 fail\na get x = 3"))
    assert [reading[0].place for reading in sources.thin_air] == [0, 2, 4]
    assert [(reading[0].place, failed.place) for reading, failed in sources.effects_of_failed] == [(4, 3)]


def test_a_value_written_twice_is_refused_with_its_line() -> None:
    with pytest.raises(Unreadable, match="same value to the same key as line 1") as refused:
        sources_of(history("a put x 1\na put y 1\nb put x 1"))
    assert refused.value.line == 5


def test_a_failed_write_may_be_tried_again() -> None:
    sources = sources_of(history("a put x 1 fail\na put x 1\nb get x = 1"))
    assert (sources.thin_air, sources.effects_of_failed) == ([], [])


def test_growing_values_are_refused() -> None:
    made = history("a put x 1")
    made.operations[0].kind = "append"
    with pytest.raises(Unreadable, match="append"):
        sources_of(made)
