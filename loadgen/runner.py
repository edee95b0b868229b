"""The closed loop: every stream keeps its number of operations in flight, and a completion is answered with the next operation.

A stream is one session. Completions arrive as runs (``Completion``: so many commands of one submission), a callback for all runs of a turn; the
callback reads the clock once, counts each run with one addition, and submits each stream's next operations as a handful of list slices. What it
submits leaves with the same turn. There is no object, task or event per operation; a handle is the tuple ``(stream, class, start)``.

Within one submission reads and writes change places every time, because a stream's real order is random and a fixed one would always let reads
wait for the stream's own writes, or never.

An operation that failed gives its place back at the next tick only, so that a cluster that refuses everything is not asked in a busy loop.

What must not live here: links and turns (``replica.client_driver``), histograms and windows (``loadgen.window``), what to ask (``workload``).
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from loadgen.window import STEPS_PER_SECOND, Window
from loadgen.workload import BLOCK, CAUSAL_READ, CAUSAL_WRITE, MODIFY, STRONG_READ, STRONG_WRITE, Operations
from replica.core.flights import CompletionKind
from statemachine.command import CAS_VALUE, CAUSAL, PUT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from loadgen.driver import LoadDriver, LoadSession, SessionTap
    from loadgen.workload import OperationSource, Writes
    from replica.core.flights import Completion
    from replica.core.messages import Query, Value

UNLIMITED: Final = 1 << 62
_OPENED, _RECORDED, _READ = CompletionKind.OPENED, CompletionKind.RECORDED, CompletionKind.READ
_CAUSAL_PUTS: Final = bytes([PUT | CAUSAL]) * BLOCK
_STRONG_PUTS: Final = bytes([PUT]) * BLOCK
_CAS: Final = bytes([CAS_VALUE]) * BLOCK


class LoadFailed(Exception):
    """The load cannot go on: a session did not open, the store could not be filled, a client process died. The message says why."""

    exit_status = 1


@attrs.define(eq=False)
class Stream:
    """One session and what it will ask for."""

    number: int
    driver: LoadDriver
    source: OperationSource
    token: bytes = b""
    session: LoadSession | None = None
    is_open: bool = False
    credit: int = 0
    """Operations that may be submitted."""
    held: int = 0
    """Credit of failed operations, given back at the next tick."""
    writes_first: bool = False
    issued: int = 0
    """Open loop: operations submitted since the beginning of the schedule."""
    place: int = 0
    """Open loop: number of its first operation in the schedule of all streams of the process."""


Handle = tuple[Stream, int, Any]
"""What goes with a submission: its stream, its class, and its start (or the ``Modification``). Class -1: the opening of the session."""
_OPENING: Final = -1


@attrs.define(eq=False)
class Modification:
    """A submission of modifications: read first, then replaced by a cas. ``start``: as in the handle of its class."""

    start: object
    keys: list[bytes]
    values: list[Value]


class Runner:
    """Drives the streams of one process.

    Args:
        clock: seconds that only go forward, the same clock in every process of a run; also the drivers' clock (``time.monotonic``).
        pendings: operations in flight of each stream.

    Invariants: ``submitted - completed`` operations are in flight; ``budget`` operations may still be submitted.
    """

    def __init__(self, *, clock: Callable[[], float], pendings: int) -> None:
        self.clock = clock
        self.pendings = pendings
        self.streams: list[Stream] = []
        self.window = Window.idle()
        self.submitted = self.completed = 0
        self.budget = UNLIMITED
        self.left = UNLIMITED  # operations after which the window closes
        self.reasons: Counter[str] = Counter()  # {why operations failed: how many}
        self.closed = trio.Event()  # set when the window has closed
        self.tap: SessionTap | None = None  # sees what is submitted, for a recorded history
        self._opened = 0
        self._open_failed = ""
        self._all_opened = trio.Event()
        self._idle = trio.Event()
        self._calm_at = float("inf")
        self._operations = 0

    # ------------------------------------------------------------------------------------------------------------------ life of a run

    async def open_sessions(self, tokens: Sequence[bytes], timeout_seconds: float) -> None:
        """Open a session for each stream.

        Raises:
            LoadFailed: Not all of them opened in time.
        """
        for stream, token in zip(self.streams, tokens, strict=True):
            stream.token = token
            self._open(stream)
        with trio.move_on_after(timeout_seconds):
            await self._all_opened.wait()
        if self._open_failed or self._opened < len(self.streams):
            why = self._open_failed or f"no leader answered within {timeout_seconds:g} s"
            raise LoadFailed(f"{self._opened} of {len(self.streams)} sessions opened: {why}")

    def _open(self, stream: Stream) -> None:
        """Open a session for a stream; called again where the store ended it."""
        stream.is_open = False
        session = stream.driver.client.open_session(stream.token, (stream, _OPENING, 0.0))
        stream.session = self.tap(session) if self.tap else session
        stream.driver.wake()

    async def preload(self, sources: Sequence[OperationSource], pendings: int) -> None:
        """Run each stream's source to its end, measuring nothing.

        Raises:
            LoadFailed: Something failed.
        """
        own = [stream.source for stream in self.streams]
        for stream, source in zip(self.streams, sources, strict=True):
            stream.source, stream.credit = source, pendings
        self._start()
        await self._idle.wait()
        for stream, source in zip(self.streams, own, strict=True):
            stream.source, stream.credit = source, 0
        if self.reasons:
            raise LoadFailed("filling the store failed: " + ", ".join(self.reasons))

    async def measure(self, window: Window, *, operations: int = 0, calm_at: float = float("inf"), drain_seconds: float = 5.0) -> None:
        """Warm up, measure until the window closes, stop, and wait for what is in flight.

        Args:
            window: not begun; made with this runner's ``on_open`` and ``on_close``.
            operations: how many to measure; 0: until the window's end.
            calm_at: when conflicts on the hot key end, on the runner's clock.
            drain_seconds: what is not complete this long after the window closed counts as unknown.
        """
        self.window, self._operations, self._calm_at = window, operations, calm_at
        await trio.sleep(max(0.0, window.begin - self.clock()))
        for stream in self.streams:
            stream.credit = self.pendings
        if window.begin >= window.start:
            window.roll(self.clock())
        self._start()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._tick)
            await self.closed.wait()
            nursery.cancel_scope.cancel()
        if self.submitted > self.completed:
            self._idle = trio.Event()
            with trio.move_on_after(drain_seconds):
                await self._idle.wait()
        if self.submitted > self.completed:
            window.unknown += self.submitted - self.completed
            self.reasons[f"no answer within {drain_seconds:g} s after the end"] += self.submitted - self.completed

    def on_open(self) -> None:
        """The window has opened: what is in flight is part of the operations to measure, and what failed before is not."""
        self.reasons.clear()
        if self._operations:
            self.left = self._operations
            self.budget = max(0, self._operations - (self.submitted - self.completed))

    def on_close(self) -> None:
        """The window has closed: submit nothing more."""
        self.budget = 0
        self.left = UNLIMITED
        self.closed.set()

    def _start(self) -> None:
        """Submit every stream's credit from outside the callback."""
        self._idle = trio.Event()
        self._submit_all(self.clock())
        if self.completed == self.submitted:
            self._idle.set()

    def _submit_all(self, moment: float) -> None:
        for stream in self.streams:
            if stream.credit and stream.is_open:
                self._submit(stream, moment, moment)
                stream.driver.wake()

    async def _tick(self) -> None:
        """Keep the series going while nothing completes, and give failed operations' places back."""
        while True:
            await trio.sleep(1 / STEPS_PER_SECOND)
            moment = self.clock()
            if moment >= self.window.boundary:
                self.window.roll(moment)
            self._calm(moment)
            for stream in self.streams:
                if stream.is_open:
                    stream.credit, stream.held = stream.credit + stream.held, 0
                    if stream.session is not None and stream.session.lost:
                        stream.token += b"'"
                        self._open(stream)
            self._submit_all(moment)

    def _calm(self, moment: float) -> None:
        if moment >= self._calm_at:
            self._calm_at = float("inf")
            for stream in self.streams:
                if isinstance(stream.source, Operations):
                    stream.source.calm()

    # ------------------------------------------------------------------------------------------------------------------ the hot path

    def on_completions(self, completions: list[Completion], now: float) -> None:
        """Count what completed in a turn and submit as much again. ``now`` is the driver's time, handed on to the sessions."""
        moment = self.clock()
        window = self.window
        if moment >= window.boundary:
            window.roll(moment)
        if moment >= self._calm_at:
            self._calm(moment)
        counts = window.counts
        ready: list[Stream] = []
        done = 0
        for completion in completions:
            kind = completion.kind
            if kind is not _READ and kind is not _RECORDED:
                done += self._exceptional(completion)
                continue
            handle: Handle = completion.handle  # type: ignore[assignment]  # the caller's own, so ours
            stream, class_, start = handle
            count = completion.count
            if class_ >= STRONG_WRITE:
                if class_ == MODIFY:
                    self._write_back(completion, stream, start, now)
                    continue
                if completion.fast:
                    window.fast += count
                else:
                    window.slow += count
            microseconds = int((moment - start) * 1e6)
            counts_of_class = counts[class_]
            counts_of_class[microseconds] = counts_of_class.get(microseconds, 0) + count
            done += count
            if not stream.credit:
                ready.append(stream)
            stream.credit += count
        self._finish(window, moment, done)
        for stream in ready:
            self._submit(stream, moment, now)
        if self.completed == self.submitted:
            self._idle.set()

    def _finish(self, window: Window, moment: float, done: int) -> None:
        """Count completed operations; close the window when the last wanted one is among them."""
        self.completed += done
        window.operations += done
        self.left -= done
        if self.left <= 0:
            window.close(moment)

    def _submit(self, stream: Stream, moment: float, now: float) -> None:
        """Submit a stream's credit."""
        wanted, stream.credit = stream.credit, 0
        while wanted:
            if wanted > self.budget:
                wanted = self.budget
                continue
            count, causal, strong, writes = stream.source.take(wanted)
            if not count:
                return
            wanted -= count
            self.budget -= count
            self.submitted += count
            if writes is None:
                submit_reads(stream, causal, strong, (moment, moment), now)
            else:
                self._submit_mixed(stream, causal, strong, writes, moment, now)

    def _submit_mixed(self, stream: Stream, causal: list[Query], strong: list[Query], writes: Writes, moment: float, now: float) -> None:
        """Submit reads and writes, each time in the other order."""
        stream.writes_first = not stream.writes_first
        if stream.writes_first:
            submit_writes(stream, writes, (moment, moment, moment), now)
        submit_reads(stream, causal, strong, (moment, moment), now)
        if not stream.writes_first:
            submit_writes(stream, writes, (moment, moment, moment), now)

    def _write_back(self, completion: Completion, stream: Stream, modification: Modification, now: float) -> None:
        """Replace what was read, if nobody else did meanwhile; this ends the operation whatever the cas says."""
        assert completion.values is not None
        assert stream.session is not None
        span = slice(completion.first, completion.first + completion.count)
        changes: list[Value] = [[read, new] for read, new in zip(completion.values, modification.values[span], strict=True)]
        handle = (stream, STRONG_WRITE, self._start_of(modification, span))
        stream.session.record(_CAS[: completion.count], modification.keys[span], changes, handle, now)

    @staticmethod
    def _start_of(modification: Modification, _span: slice) -> object:
        """Return the start for the handle of some of a submission's modifications."""
        return modification.start

    def _exceptional(self, completion: Completion) -> int:
        """Handle what is no result; return how many operations it ends."""
        handle: Handle = completion.handle  # type: ignore[assignment]  # the caller's own, so ours
        stream, class_, _ = handle
        if class_ == _OPENING:
            if completion.kind is _OPENED:
                stream.is_open = True
                self._opened += 1
            else:
                self._open_failed = completion.reason
            if self._open_failed or self._opened == len(self.streams):
                self._all_opened.set()
            return 0
        count = completion.count
        if class_ in (CAUSAL_WRITE, STRONG_WRITE):
            self.window.unknown += count  # it may have taken effect
        else:
            self.window.failed += count
        self.reasons[completion.reason] += count
        stream.held += count
        self.window.operations -= count  # ended, but never part of the rate
        return count


def submit_reads(stream: Stream, causal: list[Query], strong: list[Query], starts: tuple[object, object], now: float) -> None:
    """Submit a slice's reads; ``starts`` go into the handles of causal and strong reads."""
    session = stream.session
    assert session is not None
    if causal:
        session.causal_read(causal, (stream, CAUSAL_READ, starts[0]), now)
    if strong:
        session.strong_read(strong, (stream, STRONG_READ, starts[1]), now)


def submit_writes(stream: Stream, writes: Writes, starts: tuple[object, object, object], now: float) -> None:
    """Submit a slice's other operations; ``starts`` go into the handles of causal writes, strong writes and modifications."""
    session = stream.session
    assert session is not None
    causal_keys, causal_values, strong_keys, strong_values, modify_keys, modify_values = writes
    if causal_keys:
        session.record(_CAUSAL_PUTS[: len(causal_keys)], causal_keys, causal_values, (stream, CAUSAL_WRITE, starts[0]), now)
    if strong_keys:
        session.record(_STRONG_PUTS[: len(strong_keys)], strong_keys, strong_values, (stream, STRONG_WRITE, starts[1]), now)
    if modify_keys:
        session.strong_read([*modify_keys], (stream, MODIFY, Modification(starts[2], modify_keys, modify_values)), now)
