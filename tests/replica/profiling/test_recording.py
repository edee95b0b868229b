from __future__ import annotations

import json

import pytest

from replica.profiling.recording import STACKS_PER_PIECE, Recording, merge
from tests.replica.profiling.recorded import APPLY, MAIN, SEND, SMALL, STEP, record


def test_a_recording_comes_back_from_its_json() -> None:
    assert Recording.from_json(json.loads(b"".join(SMALL.json_pieces()))) == SMALL
    assert Recording.from_json(SMALL.as_json()) == SMALL


def test_a_large_one_is_told_in_pieces_and_comes_back_whole() -> None:
    large = record(*(((MAIN, STEP) * (number + 1), 1, number) for number in range(2 * STACKS_PER_PIECE + 1)))
    pieces = list(large.json_pieces())
    assert len(pieces) > 5
    assert Recording.from_json(json.loads(b"".join(pieces))) == large


def test_an_idle_process_has_an_empty_recording() -> None:
    empty = record()
    assert (empty.samples, empty.cpu_ns) == (0, 0)
    assert Recording.from_json(empty.as_json()) == empty


def test_another_schema_is_refused() -> None:
    with pytest.raises(ValueError, match="schema else: not triskele"):
        Recording.from_json({**SMALL.as_json(), "schema": "else"})


def test_totals_are_those_of_all_stacks() -> None:
    assert (SMALL.samples, SMALL.cpu_ns) == (100, 1_000_000_000)


def test_merged_recordings_add_equal_stacks_and_keep_the_others() -> None:
    other = record(((MAIN, STEP, APPLY), 1, 10), ((SEND,), 2, 5))
    both = merge([SMALL, other])
    told = {tuple(both.frames[place].function for place in stack.frames): (stack.samples, stack.cpu_ns // 1_000_000) for stack in both.stacks}
    assert told == {
        ("main", "TcpLink.flush", "send"): (30, 300),
        ("main", "Replica.step"): (50, 500),
        ("main", "Replica.step", "Store.apply"): (21, 210),
        ("send",): (2, 5),
    }
    assert both.sampling_seconds == pytest.approx(0.008)
