"""The measured window: exact edges, and a row for every tenth of a second."""

from __future__ import annotations

from loadgen.latency import decode, summary
from loadgen.window import Window


def window(begin: float = 9.0, start: float = 10.0, end: float = 12.0) -> tuple[Window, list[str]]:
    told: list[str] = []
    return Window(begin, start, end, lambda: told.append("open"), lambda: told.append("close")), told


def count(measured: Window, moment: float, operations: int, *, fast: int = 0) -> None:
    """Count as the hot path does."""
    if moment >= measured.boundary:
        measured.roll(moment)
    measured.operations += operations
    measured.fast += fast
    counts = measured.counts[3]
    counts[500] = counts.get(500, 0) + operations


def test_only_what_completes_inside_the_window_counts() -> None:
    measured, told = window()
    for moment in (9.05, 9.999):
        count(measured, moment, 1000)
    assert not measured.is_open
    count(measured, 10.0, 3, fast=2)
    assert told == ["open"]
    count(measured, 11.999, 4)
    count(measured, 12.0, 500)
    count(measured, 12.5, 500)
    assert told == ["open", "close"]
    result = measured.result()
    assert (result["operations"], result["start"], result["end"]) == (7, 10.0, 12.0)
    assert len(measured.rows) == 20
    assert (measured.rows[0], measured.rows[19]) == ((3, 2, 0), (4, 0, 0))
    latencies = result["latencies"]
    assert isinstance(latencies, dict)
    assert summary(decode(latencies["strong_write"]), 0)["count"] == 7


def test_failures_of_the_warm_up_are_forgotten() -> None:
    measured, _ = window()
    measured.failed = measured.unknown = 5
    measured.roll(10.01)
    assert (measured.failed, measured.unknown) == (0, 0)


def test_a_window_without_warm_up_opens_at_its_start() -> None:
    measured, told = window(begin=10.0)
    assert told == []
    measured.roll(10.0)
    assert told == ["open"]
    count(measured, 10.05, 1)
    measured.roll(10.1)
    assert measured.rows == [(1, 0, 0)]


def test_closing_in_the_middle_of_a_step_keeps_what_was_counted() -> None:
    measured, told = window(end=float("inf"))
    count(measured, 10.25, 5)
    measured.close(10.26)
    measured.close(99.0)
    assert told == ["open", "close"]
    assert (measured.rows, measured.end) == ([(0, 0, 0), (0, 0, 0), (5, 0, 0)], 10.26)
    assert measured.boundary == float("inf")


def test_an_end_between_steps_is_kept() -> None:
    measured, _ = window(end=10.25)
    count(measured, 10.21, 1)
    count(measured, 10.249, 1)
    count(measured, 10.2501, 1)
    assert measured.rows == [(0, 0, 0), (0, 0, 0), (2, 0, 0)]


def test_a_silent_cluster_still_has_rows() -> None:
    measured, _ = window()
    measured.roll(11.55)
    assert measured.rows == [(0, 0, 0)] * 15


def test_seconds_are_told_as_they_end() -> None:
    measured, _ = window()
    count(measured, 9.5, 10)
    count(measured, 10.5, 20)
    measured.failed = 1
    measured.roll(11.0)
    assert [(second.second, second.operations, second.failed) for second in measured.seconds] == [(0.0, 10, 0), (1.0, 20, 1)]
    assert sum(measured.seconds[1].coarse) == 20
    measured.roll(12.0)
    assert [second.second for second in measured.seconds] == [0, 1, 2]


def test_the_rest_of_a_second_is_not_told_as_one() -> None:
    for end in (10.5, 10.95):
        measured, _ = window(end=end)
        measured.roll(13.0)
        assert [second.second for second in measured.seconds] == [0]


def test_the_idle_window_never_opens() -> None:
    idle = Window.idle()
    idle.roll(1e12)
    assert not idle.is_open
