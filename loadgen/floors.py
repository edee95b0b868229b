"""The two floors of a run: how fast the same processes exchange the same frames when they do nothing with them, or only decode and encode.

*Wire floor*: links, turns, system calls and the kernel. *Codec floor*: the same, and the codec. What lies between the codec floor and the store is
the protocol's own cost, and the load generator's. Absolute rates move with the machine; the shares of a floor measured in the same minute do not.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import trio

from loadgen.floor_plan import FloorPlan, plan_floors
from loadgen.lines import JsonLines
from loadgen.observer import was_restarted
from loadgen.runner import LoadFailed
from triskele.child import child_environment

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from loadgen.coordinator import Gathered
    from loadgen.observer import Observer
    from loadgen.settings import LoadSettings

FLOOR_PROGRAM: Final = (sys.executable, "-P", "-m", "loadgen.floor_process")
RECORDED_SECONDS: Final = 2.0
"""Length of the recorded run; samples are taken from its first moments, ratios from all of it."""
FLOOR_SECONDS: Final = 3.0
WARMUP_SECONDS: Final = 1.0
_START_SECONDS: Final = 20.0
_PEER_SECONDS: Final = 0.3
"""For followers to reach the leader before the clients begin."""


def plan_of(settings: LoadSettings, gathered: Gathered, observer: Observer) -> FloorPlan:
    """Return the plan that a recorded run gives.

    Raises:
        LoadFailed: the recording does not suffice.
    """
    totals: dict[int, dict[str, float]] = {}
    for replica, last in observer.last.items():
        first = observer.first.get(replica)
        if first is None:
            raise LoadFailed(f"floors: replica {replica} did not answer when the recorded run began")
        if was_restarted(first, last):
            raise LoadFailed(f"floors: replica {replica} was restarted in the recorded run")
        totals[replica] = {"frames_out": last["frames_out"] - first["frames_out"]}
    leader = next((replica for replica, counters in observer.last.items() if counters.get("role") == "leader"), None)
    if leader is None or len(totals) < len(observer.cluster.replicas):
        raise LoadFailed("floors: not every replica told its counters, or none leads")
    try:
        return plan_floors(
            [result["trace"] for result in gathered.results],
            totals,
            leader=leader,
            operations=sum(result["operations"] for result in gathered.results),
            logged=sum(result["written"] for result in gathered.results),
            commands_in_flight=settings.pendings * (1 if settings.links == "per-stream" else settings.threads),
        )
    except ValueError as error:
        raise LoadFailed(f"floors: {error}") from None


async def measure_floors(settings: LoadSettings, plan: FloorPlan, policy: tuple[str, float]) -> dict[str, float]:
    """Measure both floors, one after the other.

    Args:
        settings: of the run: client processes, links, transport.
        plan: of its recording.
        policy: of the replicas' links: ``(batching, delay_seconds)``, as ``policy_named`` has them.

    Raises:
        LoadFailed: a process did not start or ended early.
    """
    return {
        "wire_per_second": round(await measure_floor(settings, plan, policy, FLOOR_SECONDS, codec=False), 1),
        "codec_per_second": round(await measure_floor(settings, plan, policy, FLOOR_SECONDS, codec=True), 1),
    }


async def measure_floor(settings: LoadSettings, plan: FloorPlan, policy: tuple[str, float], seconds: float, *, codec: bool) -> float:
    """Measure one floor; return its commands a second.

    Raises:
        LoadFailed: a process did not start or ended early.
    """
    websocket = settings.transport == "websocket"
    listen = ["127.0.0.1:0", *(["ws://127.0.0.1:0/"] if websocket else [])]
    shared = {"plan": plan.as_json(), "codec": codec, "policy": policy, "listen": listen}
    with trio.move_on_after(_START_SECONDS + WARMUP_SECONDS + seconds):
        async with processes(len(plan.replicas) + settings.clients) as started:
            replicas = dict(zip(plan.replicas, started, strict=False))
            clients = started[len(replicas) :]
            for number, replica in replicas.items():
                await replica.order(role="replica", number=number, **shared)
            addresses = {number: (await replica.answer("listening"))["addresses"] for number, replica in replicas.items()}
            for replica in replicas.values():
                await replica.order(leader=addresses[plan.leader][0])
            await trio.sleep(_PEER_SECONDS)
            drivers = settings.threads if settings.links == "per-stream" else 1
            dialed = {number: bound[-1] for number, bound in addresses.items()}
            for number, client in enumerate(clients):
                await client.order(role="client", number=number, drivers=drivers, addresses=dialed, **shared)
            for client in clients:
                await client.answer("ready")
            start = monotonic() + WARMUP_SECONDS
            for client in clients:
                await client.order(start=start, end=start + seconds)
            return sum([float((await client.answer("result"))["per_second"]) for client in clients])
    raise LoadFailed("floors: the processes did not finish in time")


class FloorProcess:
    """A process of a floor as its parent sees it."""

    def __init__(self, process: trio.Process) -> None:
        assert process.stdout is not None
        self.process = process
        self._answers = JsonLines(process.stdout)

    async def order(self, **order: object) -> None:
        """Send an order."""
        assert self.process.stdin is not None
        try:
            await self.process.stdin.send_all(json.dumps(order).encode() + b"\n")
        except (trio.BrokenResourceError, trio.ClosedResourceError):
            raise LoadFailed(f"floors: process {self.process.pid} has ended") from None

    async def answer(self, event: str) -> dict[str, Any]:
        """Return the next answer, which must be this event.

        Raises:
            LoadFailed: it ended before.
        """
        answer = await anext(self._answers, None)
        if answer is None or answer["event"] != event:
            raise LoadFailed(f"floors: process {self.process.pid} ended with status {await self.process.wait()}")
        return answer


@asynccontextmanager
async def processes(count: int) -> AsyncIterator[Sequence[FloorProcess]]:
    """Run processes of a floor for the length of the block."""
    started: list[trio.Process] = []
    try:
        for _ in range(count):
            command = list(FLOOR_PROGRAM)
            started.append(
                await trio.lowlevel.open_process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=child_environment(), process_group=0)
            )
        yield [FloorProcess(process) for process in started]
    finally:
        for process in started:
            process.send_signal(signal.SIGTERM)
        with trio.CancelScope(shield=True):
            for process in started:
                await process.wait()
