"""Pipelines: many commands of one task, in order, on their way together.

The commands are issued in their order when the block ends, in runs of one kind, as far as the session has room; each result stands alone.
A write waits for the reads before it that it would change: commands on their way together are concurrent, and a read might see it.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Generic, TypeVar, cast, overload

import attrs
import trio

from statemachine.command import CAUSAL as CAUSAL_BIT
from statemachine.command import DELETE, PUT
from triskele.calls import (
    CAUSAL,
    STRONG,
    Call,
    Consistency,
    ConsistencyName,
    cas_condition,
    command_or_refuse,
    consistency_or_refuse,
    key_or_refuse,
    no_answer,
    query_or_refuse,
)
from triskele.errors import Refused, TriskeleError, Unavailable
from triskele.live_session import command_bytes
from triskele.scanning import Scan

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import EllipsisType

    from replica.core.messages import Query, Value
    from replica.core.session import Session
    from triskele.live_session import LiveSession

T = TypeVar("T")


class Result(Generic[T]):
    """What one command of a pipeline returned: read it after the block."""

    def __init__(self) -> None:
        self._find: Callable[[], object] | None = None

    def settle(self, find: Callable[[], object]) -> None:
        """Say how the value is found; done when the block ends."""
        self._find = find

    def get(self) -> T:
        """Return a get's value, a cas' outcome, a scan's rows, None for the others.

        Raises:
            Unknown: this command was sent and has no answer.
            Unavailable: it took no effect.
            Refused: it is none the store takes, and was not sent; the others were.
            RuntimeError: the pipeline's block has not ended.
        """
        if self._find is None:
            raise RuntimeError("a pipeline's results are read after its block")
        return cast("T", self._find())


@attrs.define(eq=False)
class Queued:
    """A command that waits for the end of the block."""

    consistency: Consistency
    result: Result[object]
    kind: int = -1
    """Kind of a logged command with its causal bit; -1 for a read."""
    key: bytes = b""
    value: Value = None
    query: Query = b""
    scan: Scan | None = None

    @property
    def run(self) -> tuple[bool, Consistency]:
        """Commands that are equal in this go as one submission."""
        return self.kind >= 0, self.consistency

    @property
    def size_bytes(self) -> int:
        """Bytes of keys and values."""
        return command_bytes(self.key, self.value)


class Pipeline:
    """Commands that leave together, in order; made by ``Store.pipeline``.

    A command that the store does not take fails alone: its result says ``Refused``.

    Attributes:
        over: The block has ended, and nothing more is taken.
    """

    def __init__(self) -> None:
        self.over = False
        self._queued: list[Queued] = []
        self._refused: list[tuple[Result[object], Refused]] = []

    def get(self, key: bytes, *, consistency: Consistency | ConsistencyName = STRONG) -> Result[bytes | None]:
        """Queue a read."""
        result: Result[bytes | None] = Result()
        with self._failing_alone(result):
            key_or_refuse(key)
            self._add(result, consistency_or_refuse(consistency), query=key)
        return result

    def put(self, key: bytes, value: bytes, *, consistency: Consistency | ConsistencyName = STRONG) -> Result[None]:
        """Queue a write."""
        return self._write(PUT, key, value, consistency)

    def delete(self, key: bytes, *, consistency: Consistency | ConsistencyName = STRONG) -> Result[None]:
        """Queue a removal."""
        return self._write(DELETE, key, None, consistency)

    @overload
    def cas(self, key: bytes, value: bytes, *, expected: bytes | None) -> Result[bool]: ...
    @overload
    def cas(self, key: bytes, value: bytes, *, version: int) -> Result[bool]: ...
    def cas(self, key: bytes, value: bytes, *, expected: bytes | EllipsisType | None = ..., version: int | EllipsisType = ...) -> Result[bool]:
        """Queue a compare-and-swap, by value (None: the key is missing) or by version. Always strong.

        Raises:
            TypeError: not exactly one of ``expected`` and ``version`` is given.
        """
        kind, condition = cas_condition(expected, version)
        result: Result[bool] = Result()
        with self._failing_alone(result):
            command_or_refuse(kind, key, [condition, value])
            self._add(result, STRONG, kind=kind, key=key, value=[condition, value])
        return result

    def scan(
        self, start: bytes = b"", end: bytes | None = None, limit: int = 1000, *, consistency: Consistency | ConsistencyName = STRONG
    ) -> Result[list[tuple[bytes, bytes]]]:
        """Queue a scan. Its first page is read in its turn, further ones (from 1000 rows or 4 MiB on) when the other commands are done."""
        result: Result[list[tuple[bytes, bytes]]] = Result()
        with self._failing_alone(result):
            query_or_refuse([start, end, limit])
            scan = Scan(start, end, limit)
            self._add(result, consistency_or_refuse(consistency), query=scan.query, scan=scan)
        return result

    def _write(self, kind: int, key: bytes, value: bytes | None, consistency: Consistency | ConsistencyName) -> Result[None]:
        result: Result[None] = Result()
        with self._failing_alone(result):
            command_or_refuse(kind, key, value)
            wanted = consistency_or_refuse(consistency)
            self._add(result, wanted, kind=kind | CAUSAL_BIT if wanted is CAUSAL else kind, key=key, value=value)
        return result

    @contextmanager
    def _failing_alone(self, result: Result[T]) -> Iterator[None]:
        """Let a refused command be its own result's matter, which is read after the block like any other.

        Raises:
            RuntimeError: the block has ended, and so the command would never be sent.
        """
        if self.over:
            raise RuntimeError("the pipeline's block has ended: nothing is sent any more")
        try:
            yield
        except Refused as error:
            self._refused.append((cast("Result[object]", result), error))

    def _add(
        self, result: Result[T], consistency: Consistency, *, kind: int = -1, key: bytes = b"", value: Value = None, query: Query = b"",
        scan: Scan | None = None,
    ) -> None:  # fmt: skip
        self._queued.append(Queued(consistency, cast("Result[object]", result), kind, key, value, query, scan))

    async def send(self, live: LiveSession, timeout: float) -> None:
        """Send in order, as far as there is room, wait for all, and settle every result, also when we are cancelled.

        Args:
            live: the session.
            timeout: seconds for all of it; what has no answer then is Unknown or Unavailable by itself.
        """
        for result, error in self._refused:
            result.settle(_raiser(error))
        queued, self._queued = self._queued, []
        calls: list[tuple[Call, list[Queued]]] = []
        begun = trio.current_time()
        scope = trio.move_on_after(timeout)
        refusal: TriskeleError | None = None
        try:
            with scope:
                try:
                    await _send_all(live, queued, calls)
                except Unavailable as error:  # no session any more: what follows fails, what went before goes on
                    refusal = error
                for call, _ in calls:
                    await call.done.wait()
        finally:
            waited = round(min(timeout, trio.current_time() - begun), 3)
            scans = _settle(calls, waited)
            for item in queued[sum(len(run) for _, run in calls) :]:
                item.result.settle(_raiser(refusal or Unavailable(no_answer(waited))))
        await _finish_scans(live, scans, scope.deadline)


async def _send_all(live: LiveSession, queued: list[Queued], calls: list[tuple[Call, list[Queued]]]) -> None:
    """Submit run after run, adding to ``calls``. Raises ``Unavailable`` when there is no session any more."""
    reads = Reads()
    start = 0
    while start < len(queued):
        before = reads.changed_by(queued[start])
        if before is not None:
            await before.done.wait()
            continue
        session = await live.ready()
        run = _next_run(queued, start, live, reads)
        calls.append((_submit(live, session, run), run))
        reads.add(*calls[-1])
        start += len(run)


class Reads:
    """The reads that are on their way, by what they read."""

    def __init__(self) -> None:
        self._keys: dict[bytes, Call] = {}  # {key: the newest submission that reads it}
        self._scans: list[tuple[Scan, Call]] = []

    def add(self, call: Call, run: list[Queued]) -> None:
        """Take note of a submission; logged commands are none of ours."""
        if not call.writes:
            self._keys.update({item.query: call for item in run if isinstance(item.query, bytes)})
            self._scans += [(item.scan, call) for item in run if item.scan is not None]

    def changed_by(self, item: Queued) -> Call | None:
        """Return a submission that reads what the command writes and has no answer yet."""
        if item.kind < 0:
            return None
        call = self._keys.get(item.key)
        if call is not None and not call.done.is_set():
            return call
        self._scans = [pair for pair in self._scans if not pair[1].done.is_set()]
        return next((call for scan, call in self._scans if scan.covers(item.key)), None)


def _next_run(queued: list[Queued], start: int, live: LiveSession, reads: Reads) -> list[Queued]:
    """Take commands that may go as one submission, the first and as many more as the session has room for."""
    room, form = live.room, queued[start].run
    commands = 1 + room.commands_max - room.commands
    size_bytes = room.bytes_max - room.bytes - queued[start].size_bytes
    end = start + 1
    while end < len(queued) and end - start < commands and size_bytes > 0:
        item = queued[end]
        if item.run != form or reads.changed_by(item) is not None:
            break
        size_bytes -= item.size_bytes
        end += 1
    return queued[start:end]


def _submit(live: LiveSession, session: Session, run: list[Queued]) -> Call:
    logged, consistency = run[0].run
    if logged:
        return live.submit_record(session, bytes(item.kind for item in run), [item.key for item in run], [item.value for item in run])
    return live.submit_read(session, [item.query for item in run], consistency)


def _settle(calls: list[tuple[Call, list[Queued]]], waited: float) -> list[tuple[Scan, Queued]]:
    """Settle what was submitted, and return the scans of which more pages are to come: without those they are not answered.

    Args:
        calls: the submissions.
        waited: for how long, seconds.
    """
    scans = []
    for call, run in calls:
        for place, item in enumerate(run):
            if item.scan is None or not call.complete[place]:
                item.result.settle(_finder(call, place, waited))
                continue
            item.scan.take(call.values[place])
            if item.scan.finished:
                item.result.settle(_giver(item.scan.rows))
            else:
                item.result.settle(_raiser(Unavailable(no_answer(waited))))
                scans.append((item.scan, item))
    return scans


async def _finish_scans(live: LiveSession, scans: list[tuple[Scan, Queued]], deadline: float) -> None:
    """Read the further pages of scans."""
    for scan, item in scans:
        with trio.move_on_at(deadline):
            try:
                while not scan.finished:
                    more = await live.read([scan.query], item.consistency)
                    scan.take(more.values[0])
            except Unavailable as error:
                item.result.settle(_raiser(error))
        if scan.finished:
            item.result.settle(_giver(scan.rows))


def _finder(call: Call, place: int, timeout: float) -> Callable[[], object]:
    return lambda: call.result(place, timeout)


def _giver(value: object) -> Callable[[], object]:
    return lambda: value


def _raiser(error: TriskeleError) -> Callable[[], object]:
    def find() -> object:
        raise type(error)(str(error))

    return find
