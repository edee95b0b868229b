"""Recorded histories: every invocation and response of a run, a line each in the order of time.

Capture stands between the runner and its sessions and appends one tuple for each submission and each completion (runs, not commands); once a
second the tuples go to a file of the process's own, in Python's ``marshal`` format, which costs a copy of the bytes and nothing else. After
the run one process reads all those files, takes the runs apart and merges them by time; CLOCK_MONOTONIC is the same for all of a machine.

An invocation's time is read before the command leaves, a response's after it arrived, so that intervals are never too short. Within a process
the order of events is the order in which they happened, also where times are equal; a session's invocations stand in the order it issued them.

Each event has ``type, process, id, time, op, key, consistency, number`` and, where they mean something: ``value`` (put, cas: the new one; an
answered get: what it read, null if nothing; an answered scan: rows of key, value, version), ``expected`` (cas), ``version`` (answered get),
``end`` and ``limit`` (scan), ``more`` (answered scan: true where the page ends behind its last row though there is more, or the key where it
ends), ``reason`` (fail, unknown). A cas that did not swap is a ``fail``: it had no effect; it has ``"swapped": false``, which a ``fail`` for
other reasons has not. What has no response at the end of the file was never answered: its outcome is unknown.
Where the store may have held something before, the first line says so (``{"type": "before", "state": "unknown"}``).

A file whose name ends in ``.edn`` is written as Jepsen's EDN, for others' checkers (``loadgen.checkers.jepsen``).
"""

from __future__ import annotations

import heapq
import json
import marshal
from itertools import chain
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, Final

import attrs

from loadgen.checkers.jepsen import edn_lines
from loadgen.checkers.pairing import BEFORE
from replica.core.flights import CompletionKind
from statemachine.command import CAS_VALUE, CAS_VERSION, CAUSAL, DELETE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from loadgen.driver import LoadSession
    from loadgen.runner import Runner
    from replica.core.flights import Completion
    from replica.core.messages import Query, Value

_READS: Final = 0
_COMMANDS: Final = 1
_ANSWERS: Final = 2
"""Second item of a captured tuple, after the time in nanoseconds: ``(time, READS, session, first id, consistency, queries)``,
``(time, COMMANDS, session, first id, kinds, keys, values, first number)``, ``(time, ANSWERS, first id, count, why failed or None, values,
versions)``."""

Event = dict[str, Any]


@attrs.define(eq=False)
class RecordedSession:
    """A session whose submissions are recorded."""

    session: LoadSession
    capture: Capture

    @property
    def id(self) -> int:
        """The session's id, 0 until it is open."""
        return self.session.id

    @property
    def lost(self) -> str:
        """Why the store ended it, empty while it has not."""
        return self.session.lost

    def record(self, kinds: bytes, keys: list[bytes], values: list[Value], handle: object, now: float) -> int:
        """Submit logged commands."""
        time, submission = monotonic_ns(), self.capture.submission(len(keys), handle)
        first = self.session.record(kinds, keys, values, submission, now)
        self.capture.events.append((time, _COMMANDS, self.session.id, submission.first_id, kinds, keys, values, first))
        return first

    def strong_read(self, queries: list[Query], handle: object, now: float) -> None:
        """Submit strong reads."""
        self.session.strong_read(queries, self._reads("strong", queries, handle), now)

    def causal_read(self, queries: list[Query], handle: object, now: float) -> None:
        """Submit causal reads."""
        self.session.causal_read(queries, self._reads("causal", queries, handle), now)

    def _reads(self, consistency: str, queries: list[Query], handle: object) -> Submission:
        submission = self.capture.submission(len(queries), handle)
        self.capture.events.append((monotonic_ns(), _READS, self.session.id, submission.first_id, consistency, queries))
        return submission


@attrs.define(eq=False)
class Submission:
    """What goes with a submission instead of the runner's handle."""

    first_id: int
    handle: object


class Capture:
    """Records what a runner's sessions do. ``session`` is the runner's tap; ``on_completions`` takes the place of the runner's.

    Args:
        runner: whose completions they are.
        file: where the tuples go.
    """

    def __init__(self, runner: Runner, file: Path) -> None:
        self.events: list[tuple[Any, ...]] = []  # since the last flush
        self.next_id = 0
        self._runner = runner
        self._file = file
        file.write_bytes(b"")

    def session(self, session: LoadSession) -> LoadSession:
        """Return a session that records what it is asked."""
        return RecordedSession(session, self)

    def submission(self, count: int, handle: object) -> Submission:
        """Number the commands of a submission."""
        first, self.next_id = self.next_id, self.next_id + count
        return Submission(first, handle)

    def on_completions(self, completions: list[Completion], now: float) -> None:
        """Record what completed, then let the runner have it."""
        time = monotonic_ns()
        for completion in completions:
            submission = completion.handle
            if not isinstance(submission, Submission):
                continue
            failed = completion.reason if completion.kind is CompletionKind.FAILED else None
            first_id = submission.first_id + completion.first
            self.events.append((time, _ANSWERS, first_id, completion.count, failed, completion.values, completion.versions))
            completion.handle = submission.handle
        self._runner.on_completions(completions, now)

    def flush(self) -> None:
        """Move what was captured to the file."""
        events, self.events = self.events, []
        if events:
            with self._file.open("ab") as file:
                marshal.dump(events, file)


def merge(parts: Iterable[Path]) -> Iterator[Event]:
    """Yield all events of captured files in the order of time; ids are unique among the files."""
    files = list(parts)
    streams = [_events(path, place, len(files)) for place, path in enumerate(files)]
    for _, event in heapq.merge(*streams, key=lambda pair: pair[0]):
        yield event


def trim(parts: Iterable[Path]) -> None:
    """Cut captured files of processes that were ended in the midst to the time until which all are whole.

    Each process writes once a second: what one read may else be a value whose writer had not told of it yet.
    """
    captured = {part: list(_tuples(part)) for part in parts}
    last = min(events[-1][0] if events else 0 for events in captured.values())
    for part, events in captured.items():
        part.write_bytes(marshal.dumps([event for event in events if event[0] <= last]))


def write(parts: Iterable[Path], file: Path, *, begins_empty: bool = True) -> int:
    """Write captured files as one history, JSON lines or EDN by its name; return the number of events.

    Args:
        parts: the captured files.
        file: where to.
        begins_empty: the store held nothing before; else the history says first that nothing is known of that.
    """
    count = 0
    events = merge(parts) if begins_empty else chain([BEFORE], merge(parts))
    with file.open("w", encoding="utf-8") as output:
        for line in edn_lines(events) if file.suffix == ".edn" else map(_json_line, events):
            output.write(line + "\n")
            count += 1
    return count


def _json_line(event: Event) -> str:
    return json.dumps(event, separators=(",", ":"))


def _tuples(path: Path) -> Iterator[tuple[Any, ...]]:
    with path.open("rb") as file:
        while True:
            try:
                yield from marshal.load(file)  # noqa: S302 - a file that this program has just written
            except (EOFError, ValueError, TypeError):  # its end, or where a process was killed while it wrote
                return


def _events(path: Path, place: int, files: int) -> Iterator[tuple[int, Event]]:
    """Take a file's runs apart."""
    invoked: dict[int, Event] = {}  # {id: its invocation}, until it is answered
    for time, tag, *item in _tuples(path):
        if tag == _ANSWERS:
            for number, outcome in enumerate(_outcomes(item, invoked), item[0]):
                yield time, {**invoked.pop(number), **outcome, "time": time}
            continue
        for number, asked in enumerate(_queries(item) if tag == _READS else _commands(item), item[1]):
            event = {"type": "invoke", "process": item[0], "id": number * files + place, "time": time, **asked}
            invoked[number] = event
            yield time, event


def _queries(item: list[Any]) -> Iterator[Event]:
    """Yield reads one by one."""
    _, _, consistency, queries = item
    for query in queries:
        shared = {"consistency": consistency, "number": None}
        if isinstance(query, bytes):
            yield {"op": "get", "key": text(query), **shared}
        else:
            start, end, limit = query
            yield {"op": "scan", "key": text(start), "end": text(end), "limit": limit, **shared}


def _commands(item: list[Any]) -> Iterator[Event]:
    """Yield logged commands one by one."""
    _, _, kinds, keys, values, first = item
    for number, (kind, key, value) in enumerate(zip(kinds, keys, values, strict=True), first):
        shared = {"consistency": "causal" if kind & CAUSAL else "strong", "number": number}
        plain = kind & ~CAUSAL
        if plain == DELETE:
            yield {"op": "delete", "key": text(key), **shared}
        elif plain == CAS_VALUE:
            yield {"op": "cas", "key": text(key), "expected": text(value[0]), "value": text(value[1]), **shared}
        elif plain == CAS_VERSION:
            yield {"op": "cas", "key": text(key), "version": value[0], "value": text(value[1]), **shared}
        else:
            yield {"op": "put", "key": text(key), "value": text(value), **shared}


def _outcomes(item: list[Any], invoked: dict[int, Event]) -> Iterator[Event]:
    """Yield what became of consecutive commands."""
    first, count, failed, values, versions = item
    for place in range(count):
        op = invoked[first + place]["op"]
        if failed is not None:
            yield {"type": "fail" if op in {"get", "scan"} else "unknown", "reason": failed}
        elif op == "get":
            yield {"type": "ok", "value": text(values[place]), "version": versions[place]}
        elif op == "scan":
            rows, more = values[place]
            shown = [[text(key), text(value), version] for key, value, version in rows]
            yield {"type": "ok", "value": shown, "more": text(more) if isinstance(more, bytes) else more}
        elif op == "cas":
            yield {"type": "ok" if values[place] else "fail", "swapped": bool(values[place])}
        else:
            yield {"type": "ok"}


def text(data: bytes | None) -> str | dict[str, str] | None:
    """Return bytes as JSON: text where they are UTF-8, else ``{"hex": …}``; None stays null."""
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"hex": data.hex()}
