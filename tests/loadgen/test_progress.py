"""What a user sees while the load runs."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from loadgen.latency import Latencies
from loadgen.progress import Progress

if TYPE_CHECKING:
    import pytest


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def told(second: float, operations: int, failed: int = 0) -> dict[str, Any]:
    coarse = Latencies().fold({1000: operations})
    return {"second": second, "operations": operations, "failed": failed, "unknown": 0, "coarse": coarse.tolist()}


def test_a_line_is_written_when_all_processes_have_told() -> None:
    stream = io.StringIO()
    progress = Progress(2, 10.0, 0, stream)
    progress.second(told(1.0, 1000))
    assert stream.getvalue() == ""
    progress.second(told(2.0, 5))
    progress.second(told(1.0, 500, failed=3))
    line = stream.getvalue()
    assert line.startswith("    1 s      1,500 /s  p50 0.98 ms")
    assert line.endswith("errors 3  9 s left\n")


def test_the_warm_up_is_called_so() -> None:
    stream = io.StringIO()
    Progress(1, 10.0, 0, stream).second(told(-1.0, 700))
    assert stream.getvalue().startswith("warm-up")
    assert "left" not in stream.getvalue()


def test_operations_left_are_told_in_seconds_at_the_present_rate() -> None:
    stream = io.StringIO()
    progress = Progress(1, 0.0, 10_000, stream)
    progress.second(told(1.0, 2000))
    progress.second(told(2.0, 2000))
    assert stream.getvalue().splitlines()[-1].endswith("3 s left")


def test_a_terminal_has_one_line_that_is_rewritten() -> None:
    stream = Terminal()
    progress = Progress(1, 10.0, 0, stream)
    progress.second(told(1.0, 10))
    progress.say("something else")
    progress.second(told(2.0, 10))
    progress.end()
    assert stream.getvalue().count("\n") == 1
    assert stream.getvalue().endswith("\r\x1b[K")


def test_a_second_without_answers_has_no_percentiles() -> None:
    stream = io.StringIO()
    Progress(1, 10.0, 0, stream).second(told(3.0, 0))
    assert "p50 -  p99 -" in stream.getvalue()


def test_quiet_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(1, 10.0, 0, None)
    progress.second(told(1.0, 10))
    progress.say("hello")
    progress.end()
    assert capsys.readouterr() == ("", "")
