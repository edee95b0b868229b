from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import attrs
import pytest

from replica.core import messages as m
from replica.packing import FrameRoom, Packer, count_rows, cut
from replica.wire import WireLimits, assemble, decode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from replica.core.messages import Message

RECORD = m.Record([7, 8], [11, 21], [3, 2], [10, 20], [5, 6], bytes(5), [b"a", b"b", b"c", b"d", b"e"], [b"1", b"2", b"3", b"4", b"5"])
ROOMY = WireLimits(commands_per_frame_max=1 << 20, sections_per_frame_max=1 << 14, items_per_frame_max=1 << 24)


def unpacked(frames: list[list[bytes]]) -> list[list[Message]]:
    return [decode(b"".join(assemble(0, parts)), limits=ROOMY)[1] for parts in frames]


def commands(record: m.Record) -> Sequence[tuple[object, ...]]:
    """Spell a record out: session, number, incomplete, kind, key, value of each command."""
    found, at = [], 0
    for session, first, count, incomplete in zip(record.sessions, record.firsts, record.counts, record.incomplete, strict=True):
        for number in range(first, first + count):
            found.append((session, number, incomplete, record.kinds[at], record.keys[at], record.values[at]))
            at += 1
    return found


def reads(section: m.StrongRead | m.CausalRead | m.ReadIndex) -> Sequence[tuple[object, ...]]:
    column = section.floors if isinstance(section, m.CausalRead) else section.dependencies
    found, at = [], 0
    for session, first, count, level in zip(section.sessions, section.firsts, section.counts, column, strict=True):
        for number in range(first, first + count):
            found.append((session, number, level, section.queries[at]))
            at += 1
    return found


@pytest.mark.parametrize("at", range(1, 5))
def test_a_record_may_be_cut_anywhere(at: int) -> None:
    left, right = cut(RECORD, at)
    assert isinstance(left, m.Record)
    assert isinstance(right, m.Record)
    assert [*commands(left), *commands(right)] == commands(RECORD)
    assert len(left.keys) == at
    for part in (left, right):
        for first, previous in zip(part.firsts, part.previous, strict=True):
            assert previous == first - 1


def test_a_gap_before_a_run_stays_with_its_first_part() -> None:
    record = attrs.evolve(RECORD, previous=[4, 9])  # the mode hid commands from witnesses
    left, right = cut(record, 1)
    assert isinstance(left, m.Record)
    assert isinstance(right, m.Record)
    assert (left.previous, right.previous) == ([4], [11, 9])


@pytest.mark.parametrize("kind", [m.StrongRead, m.ReadIndex, m.CausalRead])
@pytest.mark.parametrize("at", range(1, 5))
def test_reads_may_be_cut_anywhere(kind: type[m.StrongRead], at: int) -> None:
    section = kind([7, 8], [1, 5], [3, 2], [10, 20], [b"a", b"b", [b"", None, 5], b"d", b"e"])
    left, right = cut(section, at)
    assert [*reads(left), *reads(right)] == reads(section)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "section",
    [m.OpenSession([b"a", b"b", b"c"], 30.0), m.CloseSession([1, 2, 3], [4, 5, 6]), m.KeepAlive([1, 2, 3]), m.Home([1, 2, 3], home=True),
     m.Anchor([1, 2, 3], [4, 5, 6], [7, 8, 9])],
)  # fmt: skip
def test_rows_of_sessions_may_be_cut(section: Message) -> None:
    left, right = cut(section, 1)
    assert (count_rows(left), count_rows(right)) == (1, 2)
    for name in ("sessions", "tokens", "dependencies", "reads"):
        whole = getattr(section, name, None)
        assert whole is None or getattr(left, name) + getattr(right, name) == whole
    for name in ("home", "lease_seconds"):
        assert getattr(left, name, None) == getattr(right, name, None) == getattr(section, name, None)


def test_what_has_no_rows_is_not_cut() -> None:
    assert count_rows(m.Ping(1)) == 0
    with pytest.raises(AssertionError, match="Ping"):
        cut(m.Ping(1), 1)


def test_a_turn_of_usual_size_is_one_frame_and_shared_sections_are_encoded_once() -> None:
    packer = Packer(FrameRoom())
    (one,) = packer.frames([RECORD, m.Ping(1)])
    (other,) = packer.frames([RECORD, m.Ping(2)])
    assert unpacked([one]) == [[RECORD, m.Ping(1)]]
    assert one[0] is other[0]


def test_a_frame_that_would_be_too_large_goes_as_several_in_order() -> None:
    packer = Packer(FrameRoom(bytes_max=1000, rows_max=100, sections_max=10))
    keys = [b"%03d" % number for number in range(250)]
    record = m.Record([1], [1], [250], [0], [1], bytes(250), keys, [b"v" * 20] * 250)
    frames = packer.frames([m.Ping(1), record, m.Ping(2)])
    assert all(sum(map(len, parts)) <= 1000 for parts in frames)
    sections = [section for sections in unpacked(frames) for section in sections]
    assert (sections[0], sections[-1]) == (m.Ping(1), m.Ping(2))
    assert [command for part in sections[1:-1] if isinstance(part, m.Record) for command in commands(part)] == commands(record)
    again = packer.frames([record])
    assert [part for parts in frames for part in parts][1] is again[0][0]  # cut once for all links


def test_many_rows_of_few_bytes_are_counted() -> None:
    packer = Packer(FrameRoom(bytes_max=1 << 20, rows_max=100, sections_max=10))
    read = m.CausalRead([1], [1], [1000], [0], [b""] * 1000)
    frames = unpacked(packer.frames([read]))
    assert max(sum(map(count_rows, sections)) for sections in frames) <= 100
    assert sum(sum(map(count_rows, sections)) for sections in frames) == 1000


def test_many_sections_are_counted() -> None:
    packer = Packer(FrameRoom(sections_max=10))
    frames = unpacked(packer.frames([m.Ping(number) for number in range(25)]))
    assert [len(sections) for sections in frames] == [10, 10, 5]


def test_a_command_larger_than_a_frame_goes_alone() -> None:
    packer = Packer(FrameRoom(bytes_max=10))
    record = m.Record([1], [1], [2], [0], [1], bytes(2), [b"a", b"b"], [b"v" * 100] * 2)
    assert [count_rows(sections[0]) for sections in unpacked(packer.frames([record]))] == [1, 1]


def test_any_record_comes_out_as_it_went_in() -> None:
    random = Random(1)
    for _ in range(200):
        counts = [random.randint(1, 9) for _ in range(random.randint(1, 6))]
        total = sum(counts)
        record = m.Record(
            list(range(len(counts))), [1] * len(counts), counts, [0] * len(counts), [1] * len(counts), bytes(total),
            [b"%d" % number for number in range(total)], [bytes(random.randint(0, 50)) for _ in range(total)],
        )  # fmt: skip
        room = FrameRoom(bytes_max=random.randint(50, 400), rows_max=random.randint(1, 20), sections_max=random.randint(1, 5))
        found = [section for sections in unpacked(Packer(room).frames([record])) for section in sections]
        assert [command for part in found if isinstance(part, m.Record) for command in commands(part)] == commands(record)
