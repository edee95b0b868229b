"""Recorded histories: every command appears once, in the order of time, with its answer."""

from __future__ import annotations

import json
import marshal
from typing import TYPE_CHECKING, Any

import pytest
import trio

from loadgen import history
from loadgen.history import Capture, merge, text, trim, write
from loadgen.runner import Runner, Stream
from loadgen.window import Window
from loadgen.workload import KeySampler, Operations, WorkloadSettings
from replica.core.flights import Completion, CompletionKind
from statemachine.command import CAS_VALUE, CAS_VERSION, CAUSAL, DELETE, PUT
from tests.loadgen.fakes import FakeDriver

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock


class Silent:
    """A session that remembers the handles; its runner takes no notice of completions."""

    id = 7
    lost = ""

    def __init__(self) -> None:
        self.handles: list[Any] = []

    def record(self, kinds: bytes, keys: list[bytes], values: list[Any], handle: object, now: float) -> int:
        assert len(kinds) == len(keys) == len(values)
        assert now == 0.0
        self.handles.append(handle)
        return 41

    def strong_read(self, queries: list[Any], handle: object, now: float) -> None:
        assert queries
        assert now == 0.0
        self.handles.append(handle)

    causal_read = strong_read

    def on_completions(self, completions: list[Completion], now: float) -> None:
        assert now == 0.0
        assert [completion.handle for completion in completions] == ["mine"] * len(completions)


@pytest.fixture
def ticking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time goes on by one with each look at it."""
    now = iter(range(1, 1000))
    monkeypatch.setattr(history, "monotonic_ns", lambda: next(now))


def captured(tmp_path: Path) -> tuple[Capture, Silent, Any]:
    silent = Silent()
    capture = Capture(silent, tmp_path / "part")  # type: ignore[arg-type]
    return capture, silent, capture.session(silent)


@pytest.mark.usefixtures("ticking")
def test_commands_and_answers_of_every_kind(tmp_path: Path) -> None:
    capture, silent, session = captured(tmp_path)
    session.record(bytes([PUT, DELETE, CAS_VALUE, CAS_VERSION]), [b"a", b"b", b"c", b"d"], [b"1", None, [None, b"\xff"], [9, b"2"]], "mine", 0.0)
    session.record(bytes([PUT | CAUSAL]), [b"e"], [b"3"], "mine", 0.0)
    session.strong_read([b"a", [b"a", None, 5]], "mine", 0.0)
    session.causal_read([b"nothing"], "mine", 0.0)
    record, put, strong, causal = silent.handles

    def done(handle: object, kind: CompletionKind, first: int, count: int, *rest: Any) -> Completion:
        return Completion(session, handle, kind, first, count, *rest)

    recorded, read = CompletionKind.RECORDED, CompletionKind.READ
    capture.on_completions([done(record, recorded, 0, 3, [None, None, True]), done(record, recorded, 3, 1, [False])], 0.0)
    capture.on_completions([done(strong, read, 0, 2, [b"1", [[[b"a", b"1", 3]], b"b"]], [3, 0]), done(causal, read, 0, 1, [None], [0])], 0.0)
    capture.on_completions([done(put, CompletionKind.FAILED, 0, 1, None, None, False, "session expired")], 0.0)
    capture.flush()
    events = list(merge([tmp_path / "part"]))

    asked = [event for event in events if event["type"] == "invoke"]
    assert [(event["op"], event["key"], event["number"], event["consistency"]) for event in asked] == [
        ("put", "a", 41, "strong"), ("delete", "b", 42, "strong"), ("cas", "c", 43, "strong"), ("cas", "d", 44, "strong"),
        ("put", "e", 41, "causal"), ("get", "a", None, "strong"), ("scan", "a", None, "strong"), ("get", "nothing", None, "causal"),
    ]  # fmt: skip
    assert (asked[2]["expected"], asked[2]["value"], asked[3]["version"]) == (None, {"hex": "ff"}, 9)
    assert (asked[6]["end"], asked[6]["limit"]) == (None, 5)
    assert {event["process"] for event in events} == {7}

    answered = {event["id"]: event for event in events if event["type"] != "invoke"}
    assert [answered[number]["type"] for number in range(8)] == ["ok", "ok", "ok", "fail", "unknown", "ok", "ok", "ok"]
    assert (answered[2]["swapped"], answered[3]["swapped"]) == (True, False)
    assert (answered[5]["value"], answered[5]["version"]) == ("1", 3)
    assert (answered[6]["value"], answered[6]["more"]) == ([["a", "1", 3]], "b")
    assert answered[7]["value"] is None
    assert answered[4]["reason"] == "session expired"
    assert [event["time"] for event in events] == sorted(event["time"] for event in events)


@pytest.mark.usefixtures("ticking")
def test_files_of_several_processes_are_merged_by_time_with_ids_of_their_own(tmp_path: Path) -> None:
    captures = []
    for number in range(3):
        silent = Silent()
        capture = Capture(silent, tmp_path / f"part-{number}")  # type: ignore[arg-type]
        captures.append((capture, capture.session(silent), silent))
    for turn in range(5):
        for capture, session, silent in captures:
            session.strong_read([b"k%d" % turn], "mine", 0.0)
            capture.on_completions([Completion(silent, silent.handles[-1], CompletionKind.READ, 0, 1, [None], [0])], 0.0)  # type: ignore[arg-type]
            capture.flush()
    file = tmp_path / "history"
    assert write([capture._file for capture, _, _ in captures], file) == 30
    events = [json.loads(line) for line in file.read_text().splitlines()]
    assert [event["time"] for event in events] == list(range(1, 31))
    assert len({event["id"] for event in events}) == 15
    assert [event["id"] for event in events[::2]] == [event["id"] for event in events[1::2]]


@pytest.mark.usefixtures("ticking")
def test_a_file_named_edn_is_written_for_other_checkers(tmp_path: Path) -> None:
    capture, silent, session = captured(tmp_path)
    session.record(bytes([PUT | CAUSAL]), [b"a"], [b"1"], "mine", 0.0)
    capture.on_completions([Completion(session, silent.handles[0], CompletionKind.RECORDED, 0, 1)], 0.0)
    capture.flush()
    assert write([tmp_path / "part"], tmp_path / "history.edn") == 2
    assert (tmp_path / "history.edn").read_text().splitlines()[1] == (
        '{:index 1, :type :ok, :f :put, :process 0, :session 7, :id 0, :time 2, :key "a", :value "1", :consistency :causal, :number 41}'
    )


async def test_a_whole_run_is_recorded(autojump_clock: MockClock, tmp_path: Path) -> None:
    """Every operation of a load is there, its answer after it, what a session saw is what the store held."""
    runner = Runner(clock=autojump_clock.current_time, pendings=8)
    capture = Capture(runner, tmp_path / "part")
    driver = FakeDriver(capture.on_completions, delay_seconds=0.01)
    runner.tap = capture.session
    settings = WorkloadSettings(workload="ycsb-f", key_space=20, value_bytes=30, unique="t")
    runner.streams = [Stream(number, driver, Operations(settings, number, KeySampler(20, 0.9))) for number in range(2)]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run)
        await runner.open_sessions([b"a", b"b"], 1)
        begin = runner.clock()
        await runner.measure(Window(begin, begin, begin + 2, runner.on_open, runner.on_close))
        nursery.cancel_scope.cancel()
    capture.flush()
    events = list(merge([tmp_path / "part"]))
    writes = [event for event in events if event["type"] == "invoke" and event["op"] == "cas"]
    assert len({event["value"] for event in writes}) == len(writes) > 100
    assert len(events) == 2 * (runner.completed + len(writes))
    invoked: set[int] = set()
    for event in events:
        if event["type"] == "invoke":
            assert event["id"] not in invoked
            invoked.add(event["id"])
        else:
            assert event["id"] in invoked
    written = {event["value"] for event in writes}
    assert {event["value"] for event in events if event["type"] == "ok" and event["op"] == "get"} <= written | {None}


def test_bytes_that_are_no_text() -> None:
    assert [text(data) for data in (b"key", b"\xff\x00", b"", None)] == ["key", {"hex": "ff00"}, "", None]


def test_captures_of_processes_that_were_ended_are_cut_to_where_all_are_whole(tmp_path: Path) -> None:
    """What the second had not written away, the first may have read."""
    parts = [tmp_path / "one", tmp_path / "two"]
    parts[0].write_bytes(marshal.dumps([(1, "a"), (5, "b")]) + marshal.dumps([(9, "c")]) + marshal.dumps([(11, "cut")])[:-2])
    parts[1].write_bytes(marshal.dumps([(2, "d"), (6, "e")]))
    trim(parts)
    assert [marshal.loads(part.read_bytes()) for part in parts] == [[(1, "a"), (5, "b")], [(2, "d"), (6, "e")]]
    parts[1].write_bytes(b"")
    trim(parts)
    assert list(merge(parts)) == []
