from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.replica.profiling.recorded import APPLY, FLUSH, MAIN, SEND, SMALL, STEP, native, record
from tests.triskele.profile.profiled import AFTER, BEFORE, process
from triskele.profile.analysis import Subject, analyse, areas, call_counts, error_of, functions, ratio

FRAMES = [MAIN, FLUSH, SEND, STEP, APPLY, native("poll", "transport/hub.py", 3)]


@given(st.lists(st.tuples(st.lists(st.sampled_from(FRAMES), min_size=1, max_size=6).map(tuple), st.integers(1, 9), st.integers(1, 500)), min_size=1))
def test_the_areas_add_up_to_the_whole_and_so_do_own_times(stacks: list[tuple[tuple[object, ...], int, int]]) -> None:
    recording = record(*stacks)  # type: ignore[arg-type]
    assert sum(areas(recording).values()) == pytest.approx(1)
    rows = functions(recording)
    assert sum(row["own"] for row in rows) == pytest.approx(1)
    assert all(row["own"] <= row["total"] + 1e-9 <= 1 + 2e-9 for row in rows)


def test_shares_are_those_of_the_stacks() -> None:
    assert {area: share for area, share in areas(SMALL).items() if share} == {
        "network writes": pytest.approx(0.3),
        "protocol": pytest.approx(0.5),
        "state machine": pytest.approx(0.2),
    }


def test_a_function_has_own_and_cumulative_time_and_its_hottest_line() -> None:
    rows = {row["name"]: row for row in functions(SMALL)}
    step = rows["Replica.step"]
    assert (step["own"], step["total"], step["samples"]) == (pytest.approx(0.5), pytest.approx(0.7), 50)
    assert (step["file"], step["line"], step["hottest"], step["area"]) == (
        "replica/core/replica.py",
        100,
        "replica/core/replica.py:111",
        "protocol",
    )
    assert rows["send"]["native"]
    assert rows["main"]["total"] == pytest.approx(1)
    assert [row["name"] for row in functions(SMALL)][:3] == ["Replica.step", "send", "Store.apply"]


def test_recursion_counts_once() -> None:
    (row,) = [row for row in functions(record(((MAIN, STEP, APPLY, STEP), 1, 10))) if row["name"] == "Replica.step"]
    assert (row["own"], row["total"]) == (1, 1)


def test_system_calls_are_the_window_s_over_the_operations() -> None:
    told = process()
    assert told["calls"] == {"send": 100, "receive": 50, "poll": 30, "sync": 0, "other": 10}
    assert told["calls_per_operation"]["send"] == pytest.approx(1e-4)
    assert process("clients", "client")["calls"] == {}


def test_a_process_is_told_per_operation() -> None:
    told = process(operations=1_000_000)
    assert told["cpu_us_per_operation"] == pytest.approx(4.0)
    assert told["memory"]["blocks_per_operation"] == pytest.approx(0.001)
    assert (told["operations_are"], told["samples"], told["processes"]) == ("completed by clients", 100, 1)


def test_without_clients_operations_are_the_commands_received() -> None:
    subject = Subject(name="replica-0", role="leader", recordings=(SMALL,), operations=0, before=BEFORE, after=AFTER)
    told = analyse(subject, SMALL)
    assert (told["operations"], told["operations_are"]) == (5000, "commands received")
    idle = analyse(Subject(name="replica-0", role="leader", recordings=(SMALL,), operations=0, before=AFTER, after=AFTER), SMALL)
    assert idle["cpu_us_per_operation"] is None


def test_several_processes_are_added_up() -> None:
    told = analyse(Subject(name="clients", role="client", recordings=(SMALL, SMALL), operations=10), SMALL)
    assert (told["processes"], told["cpu_seconds"], told["wall_seconds"], told["waiting_seconds"]) == (2, 8.0, 10.0, 4.0)
    assert told["collector"]["pause_seconds_max"] == 0.015


def test_kinds_a_replica_does_not_count_are_left_out() -> None:
    assert call_counts(Subject(name="", role="", recordings=(), operations=0, before={}, after={"syscalls": {"send": 3}})) == {"send": 3}


def test_an_estimate_s_error_shrinks_with_the_samples() -> None:
    assert error_of(0.5, 100) == pytest.approx(0.05)
    assert error_of(0.5, 400) == pytest.approx(0.025)
    assert error_of(0.5, 0) == 1.0
    assert ratio(1, 0) is None
