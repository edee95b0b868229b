"""A client process: ``python -m loadgen.worker``, started and told what to do by ``loadgen.coordinator``.

It speaks JSON lines: its settings and orders come on standard input, what happens goes to standard output. When standard input ends, so does
the process: a coordinator that dies leaves nobody behind. Rejected: ``multiprocessing`` (it would carry Trio's and the coordinator's state along,
or pickle), a socket (something to find and to authenticate).

Orders: ``{"do": "preload"}``, ``{"do": "measure", "begin": …, "start": …, "end": … or null, "operations": n}`` (CLOCK_MONOTONIC seconds),
``{"do": "end"}``. Answers: ``ready``, ``loaded``, ``second`` (one each), ``closed``, ``result``, or ``failed`` with the reason.
"""

from __future__ import annotations

import gc
import json
import math
import signal
import sys
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import attrs
import trio

from loadgen.history import Capture
from loadgen.lines import JsonLines
from loadgen.links import open_drivers
from loadgen.open_loop import OpenRunner
from loadgen.runner import LoadFailed, Runner, Stream
from loadgen.trace import Trace
from loadgen.window import Window
from loadgen.workload import KeySampler, Operations, Preload, WorkloadSettings
from replica.client_driver import Unreachable
from replica.profiling.naming import named_at_once
from replica.profiling.sampler import Sampler

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from replica.profiling.sampler import Samples

PRELOAD_PENDINGS: Final = 128
_REPORT_SECONDS: Final = 0.1


@attrs.frozen(kw_only=True)
class WorkerSettings:
    """What one client process is told.

    Attributes:
        number: of this process, from 0.
        streams: of this process.
        first_stream: number of its first stream in the run.
        tokens: hexadecimal, a session token for each stream.
        operations: to measure; 0 where time closes the window.
        rate: operations a second of this process, 0 for the closed loop.
        conflict_seconds: conflicts end this long after the window opened; 0: never.
        capture: where to put the captured history; empty: none.
        trace: whether to count and sample what goes over the links, for the floors.
        profile_hz: samples of this process a second of its own time; 0: none.
    """

    number: int
    streams: int
    first_stream: int
    tokens: list[str]
    addresses: list[str]
    per_stream: bool
    pendings: int
    rate: float
    connect_seconds: float
    drain_seconds: float
    conflict_seconds: float
    capture: str
    trace: bool
    profile_hz: float = 0.0
    workload: WorkloadSettings

    @classmethod
    def from_json(cls, table: dict[str, Any]) -> WorkerSettings:
        """Return what ``attrs.asdict`` wrote."""
        return cls(**{**table, "workload": WorkloadSettings(**table["workload"])})


class Worker:
    """One client process's work.

    Args:
        settings: what to do.
        tell: sends an answer.
    """

    def __init__(self, settings: WorkerSettings, tell: Callable[[dict[str, object]], Awaitable[None]]) -> None:
        self.settings = settings
        self._tell = tell
        self._runner = (
            OpenRunner(clock=monotonic, pendings=settings.pendings, rate=settings.rate)
            if settings.rate
            else Runner(clock=monotonic, pendings=settings.pendings)
        )
        self._trace = Trace() if settings.trace else None
        self._sampler = Sampler(settings.profile_hz) if settings.profile_hz else None
        self._samples: Samples | None = None
        self._capture: Capture | None = None
        if settings.capture:
            self._capture = Capture(self._runner, Path(settings.capture))
            self._runner.tap = self._capture.session

    async def run(self, orders: AsyncIterator[dict[str, Any]]) -> None:
        """Connect, obey, until told to end or until nobody is there to tell."""
        settings, runner = self.settings, self._runner
        on_completions = self._capture.on_completions if self._capture else runner.on_completions
        links = settings.streams if settings.per_stream else 1
        sampler = KeySampler(settings.workload.key_space, settings.workload.zipf)
        opening = open_drivers(settings.addresses, links, connect_seconds=settings.connect_seconds, on_completions=on_completions, trace=self._trace)
        async with opening as drivers:
            for place in range(settings.streams):
                number = settings.first_stream + place
                runner.streams.append(Stream(number, drivers[place % links], Operations(settings.workload, number, sampler)))
            await runner.open_sessions([bytes.fromhex(token) for token in settings.tokens], settings.connect_seconds)
            _tune_collector()
            await self._tell({"event": "ready"})
            async for order in orders:
                if order["do"] == "preload":
                    sources = [Preload(settings.workload, stream.number) for stream in runner.streams]
                    await runner.preload(sources, PRELOAD_PENDINGS)
                    await self._tell({"event": "loaded"})
                elif order["do"] == "measure":
                    await self._measure(order)
                else:
                    break

    async def _measure(self, order: dict[str, Any]) -> None:
        settings, runner = self.settings, self._runner
        end = math.inf if order["end"] is None else order["end"]
        window = Window(order["begin"], order["start"], end, self._on_open, self._on_close)
        calm_at = order["start"] + settings.conflict_seconds if settings.conflict_seconds else math.inf
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._report, window)
            await runner.measure(window, operations=order["operations"], calm_at=calm_at, drain_seconds=settings.drain_seconds)
        await self._tell_seconds(window)
        result = window.result()
        result["reasons"] = dict(runner.reasons)
        if isinstance(runner, OpenRunner):
            result["backlog_max"], result["backlog_end"] = runner.backlog_max, runner.backlog_end
        if self._trace:
            result["trace"] = self._trace.as_json()
        if self._samples:
            result["profile"] = named_at_once(self._samples).as_json()
        await self._tell({"event": "result", **result})

    def _on_open(self) -> None:
        self._runner.on_open()
        if self._trace:
            self._trace.active = True
        if self._sampler:
            self._sampler.start()

    def _on_close(self) -> None:
        self._runner.on_close()
        if self._trace:
            self._trace.active = False
        if self._sampler:
            self._samples = self._sampler.stop()

    async def _report(self, window: Window) -> None:
        """Tell each finished second, and once that the window has closed; write the captured history away."""
        while not window.is_closed:
            with trio.move_on_after(_REPORT_SECONDS):
                await self._runner.closed.wait()
            await self._tell_seconds(window)
        await self._tell({"event": "closed"})

    async def _tell_seconds(self, window: Window) -> None:
        seconds, window.seconds = window.seconds, []
        for second in seconds:
            await self._tell({"event": "second", **attrs.asdict(second)})
        if self._capture and (seconds or window.is_closed):
            self._capture.flush()


def _tune_collector() -> None:
    """Keep the cyclic collector away from the measurement: submissions allocate tuples and hardly any cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)


async def _main() -> None:
    lines = JsonLines(trio.lowlevel.FdStream(0))
    output = trio.lowlevel.FdStream(1)
    sending = trio.Lock()

    async def tell(answer: dict[str, object]) -> None:
        async with sending:
            await output.send_all(json.dumps(answer).encode() + b"\n")

    settings = WorkerSettings.from_json(await anext(lines))
    sender, orders = trio.open_memory_channel[dict[str, Any]](16)
    async with trio.open_nursery() as nursery:

        async def listen() -> None:
            """Hand orders on; the end of standard input ends the process."""
            async for order in lines:
                await sender.send(order)
            nursery.cancel_scope.cancel()

        nursery.start_soon(listen)
        try:
            await Worker(settings, tell).run(orders)
        except (Exception, ExceptionGroup) as error:
            reason = expected_failure(error)
            if reason is None:
                raise
            await tell({"event": "failed", "reason": reason})
        nursery.cancel_scope.cancel()


def expected_failure(error: BaseException) -> str | None:
    """Return the words of a failure that is no bug of ours, None for one that is."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return str(error) if isinstance(error, (LoadFailed, Unreachable)) else None


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the coordinator too, which ends us by closing our input
    trio.run(_main)
    sys.exit(0)
