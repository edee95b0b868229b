"""The open loop: operations arrive on a schedule, whatever the store does.

Each stream has its own schedule, one operation every ``streams / rate`` seconds, the streams shifted against each other; an operation's latency
counts from its *intended* start, so a stall is paid by everything that should have started during it (Tene's "coordinated omission"). At most
``pendings`` operations of a stream are in flight; what has to wait for a place is the backlog, and its wait is part of its latency.

Streams come round in turn, so which of them have something due follows from the number of arrivals: a moment costs as much as arrived in it, not
as many steps as there are streams. With a look at every stream a thousand of them kept the generator's own core busy, and their latencies were its.

Every operation has a start of its own here, which costs a little more than the closed loop; hence a class of its own. A handle is
``(stream, class, starts)`` with a start for each place of the submission.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import trio

from loadgen.runner import Runner, Stream, submit_reads, submit_writes
from loadgen.workload import CAUSAL_READ, CAUSAL_WRITE, MODIFY, STRONG_READ, STRONG_WRITE, Operations
from replica.core.flights import CompletionKind

if TYPE_CHECKING:
    from collections.abc import Callable

    from loadgen.runner import Handle, Modification
    from loadgen.window import Window
    from replica.core.flights import Completion

TICK_SECONDS: Final = 0.001
"""Arrivals closer together than this are submitted together; their latencies still count from each one's own start."""

_RECORDED, _READ = CompletionKind.RECORDED, CompletionKind.READ


class OpenRunner(Runner):
    """Drives the streams of one process on a schedule; their sources are ``Operations``.

    Args:
        clock: as for ``Runner``.
        pendings: operations in flight of each stream at most.
        rate: operations a second of this process.

    ``backlog_max`` is the largest number of operations seen waiting past their intended start, ``backlog_end`` the last one.
    """

    def __init__(self, *, clock: Callable[[], float], pendings: int, rate: float) -> None:
        super().__init__(clock=clock, pendings=pendings)
        self.rate = rate
        self.backlog_max = self.backlog_end = 0
        self._scheduled = False
        self._arrived = 0  # arrivals of the schedule whose streams were asked to submit them
        self._issued = 0  # operations of the schedule that were submitted

    async def measure(self, window: Window, *, operations: int = 0, calm_at: float = float("inf"), drain_seconds: float = 5.0) -> None:
        """As ``Runner.measure``, with arrivals on schedule from the window's beginning (warm-up included)."""
        self._scheduled = True
        for place, stream in enumerate(self.streams):
            stream.place = place
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._arrive, window)
            await super().measure(window, operations=operations, calm_at=calm_at, drain_seconds=drain_seconds)
            nursery.cancel_scope.cancel()

    async def _arrive(self, window: Window) -> None:
        """Submit what is due until the window closes."""
        pause = max(TICK_SECONDS, min(1 / self.rate, 0.05))
        await trio.sleep(max(0.0, window.begin - self.clock()))
        while not window.is_closed:
            moment = self.clock()
            if moment >= window.boundary:
                window.roll(moment)
            self._submit_arrived(moment, moment)
            if self.budget:
                self.backlog_end = self._due(moment) - self._issued
                self.backlog_max = max(self.backlog_max, self.backlog_end)
            await trio.sleep(pause)

    def _due(self, moment: float) -> int:
        """Return how many operations of all streams should have started by ``moment``."""
        elapsed = moment - self.window.begin
        return int(elapsed * self.rate) + 1 if elapsed >= 0 else 0

    def _submit_arrived(self, moment: float, now: float) -> None:
        """Let the streams whose turn came since the last look submit what is due; one without a place does when it gets one."""
        streams, due = len(self.streams), self._due(moment)
        for number in range(max(self._arrived, due - streams), due):
            stream = self.streams[number % streams]
            if stream.credit and stream.is_open:
                self._submit(stream, moment, now)
                stream.driver.wake()
        self._arrived = due

    def _submit(self, stream: Stream, moment: float, now: float) -> None:
        """Submit what is due and has a place; what has not stays due."""
        if not self._scheduled:
            super()._submit(stream, moment, now)
            return
        source = stream.source
        assert isinstance(source, Operations)
        begin, streams = self.window.begin, len(self.streams)
        due = (self._due(moment) - stream.place + streams - 1) // streams  # its first operation is the schedule's number ``place``
        while (wanted := min(due - stream.issued, stream.credit, self.budget)) > 0:
            order = source.upcoming(wanted)
            count, causal, strong, writes = source.take(len(order))
            starts: list[list[float]] = [[] for _ in range(MODIFY + 1)]
            for number, class_ in enumerate(order, stream.issued):
                starts[class_].append(begin + (stream.place + number * streams) / self.rate)
            stream.issued += count
            self._issued += count
            stream.credit -= count
            self.budget -= count
            self.submitted += count
            submit_reads(stream, causal, strong, (starts[CAUSAL_READ], starts[STRONG_READ]), now)
            if writes is not None:
                submit_writes(stream, writes, (starts[CAUSAL_WRITE], starts[STRONG_WRITE], starts[MODIFY]), now)

    def on_completions(self, completions: list[Completion], now: float) -> None:
        """As ``Runner.on_completions``, each operation from its own start."""
        if not self._scheduled:
            super().on_completions(completions, now)
            return
        moment = self.clock()
        window = self.window
        if moment >= window.boundary:
            window.roll(moment)
        ready: dict[Stream, None] = {}
        done = 0
        for completion in completions:
            if completion.kind is not _READ and completion.kind is not _RECORDED:
                done += self._exceptional(completion)
                continue
            handle: Handle = completion.handle  # type: ignore[assignment]  # the caller's own, so ours
            stream, class_, starts = handle
            count = completion.count
            if class_ == MODIFY:
                self._write_back(completion, stream, starts, now)
                continue
            if class_ == STRONG_WRITE:
                if completion.fast:
                    window.fast += count
                else:
                    window.slow += count
            counts = window.counts[class_]
            for start in starts[completion.first : completion.first + count]:
                microseconds = int((moment - start) * 1e6)
                counts[microseconds] = counts.get(microseconds, 0) + 1
            done += count
            stream.credit += count
            ready[stream] = None
        self._finish(window, moment, done)
        for stream in ready:
            self._submit(stream, moment, now)
        self._submit_arrived(moment, now)
        if self.completed == self.submitted:
            self._idle.set()

    @staticmethod
    def _start_of(modification: Modification, span: slice) -> object:
        starts: list[float] = modification.start[span]  # type: ignore[index]  # a list here
        return starts
