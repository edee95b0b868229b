"""How long a replica that takes a dead one's place needs until it votes, with many keys and under load.

``python -m tests.chaos.replacement --keys 1000000``: a cluster of three on real disks is filled and written to; a follower dies for good; then
``members replace`` and a new replica with an empty folder.  Told is: seconds from its start until it votes, the rate of the load meanwhile as a
share of what it was with the follower dead, and the longest turn that the surviving replicas had, from their start and before the replacement,
and the most processor time of one.

``--sessions 100000`` opens so many idle sessions first: their table is part of the state.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import attrs
import trio

from replica.client_driver import ClientSettings, open_client
from replica.config import Settings
from tests.chaos.restart import fill, key_of, number_of
from tests.triskele.conftest import free_port
from triskele.calls import on_completions
from triskele.child import child_environment
from triskele.cluster import LocalCluster, local_cluster
from triskele.cluster_ports import ADMIN_OFFSET, WEBSOCKET_OFFSET
from triskele.live_session import LiveSession
from triskele.membership import add_member, wait_for_voter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from replica.client_driver import ClientDriver

LOADERS, LOAD_COMMANDS, PAUSE_SECONDS = 16, 4, 0.02
"""Sessions of the load, commands in a batch of theirs, and the pause between two: a load that the machine can carry."""
SESSIONS_AT_ONCE = 1000
CALM_SECONDS = 5.0
"""How long the rate is measured before."""


@attrs.define
class Replacement:
    """What was seen of one."""

    voting: float = 0.0
    share: float = 0.0
    """Of the load's rate, while the new replica caught up."""
    turn_before: float = 0.0
    """The longest turn of those who stay, seconds, until the replacement began."""
    turn: float = 0.0
    """Likewise until it had ended."""
    turn_cpu: float = 0.0
    """The most processor time of a turn until then, seconds: what the machine's other processes do not change."""

    def line(self) -> str:
        """Tell it."""
        turns = f"longest turn {self.turn * 1e3:.1f} ms ({self.turn_before * 1e3:.1f} ms before), {self.turn_cpu * 1e3:.1f} ms of CPU at most"
        return f"votes after {self.voting:.2f} s, the load at {self.share:.0%} meanwhile, {turns}"


@attrs.define
class Counter:
    """Commands of the load that completed."""

    done: int = 0


async def open_sessions(driver: ClientDriver, count: int) -> list[LiveSession]:
    """Open idle sessions."""
    opened = [LiveSession(driver) for _ in range(count)]
    for start in range(0, count, SESSIONS_AT_ONCE):
        async with trio.open_nursery() as nursery:
            for live in opened[start : start + SESSIONS_AT_ONCE]:
                nursery.start_soon(live.ready)
    return opened


async def longest_turn(cluster: LocalCluster, name: str = "turn_seconds_max") -> float:
    """Ask the replicas that live for their longest turn, seconds."""
    return max([await number_of(place.admin, name) for place in cluster.file.replicas if place.id in cluster.alive])


async def load(driver: ClientDriver, keys: int, seed: int, counter: Counter) -> None:
    """Overwrite random keys until cancelled."""
    live, draw = LiveSession(driver), random.Random(seed)
    while True:
        session = await live.ready()
        chosen = [key_of(draw.randrange(keys)) for _ in range(LOAD_COMMANDS)]
        await live.submit_record(session, bytes(LOAD_COMMANDS), chosen, [draw.randbytes(100)] * LOAD_COMMANDS).done.wait()
        counter.done += LOAD_COMMANDS
        await trio.sleep(PAUSE_SECONDS)


@asynccontextmanager
async def joining(replica: int, port: int, ready: Path, folder: Path) -> AsyncIterator[None]:
    """Run a new replica for the length of the block."""
    command = [
        sys.executable, "-m", "triskele", "replica", "--id", str(replica), "--cluster", str(ready), "--join", "--data-dir", str(folder),
        "--listen", f"127.0.0.1:{port}", "--websocket", f"127.0.0.1:{port + WEBSOCKET_OFFSET}", "--admin", f"127.0.0.1:{port + ADMIN_OFFSET}",
    ]  # fmt: skip
    with Path(f"{folder}.txt").open("wb") as log:  # noqa: ASYNC230 - a file of ours, opened once
        child = await trio.lowlevel.open_process(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=child_environment())
        try:
            yield
        finally:
            child.terminate()
            with trio.CancelScope(shield=True):
                await child.wait()


async def replace(cluster: LocalCluster, ready: Path, old: int, new: int, counter: Counter, seconds_max: float) -> Replacement:
    """Let a new replica take a dead one's place."""
    seen = Replacement()
    before, begun = counter.done, trio.current_time()
    await trio.sleep(CALM_SECONDS)
    calm_rate = (counter.done - before) / (trio.current_time() - begun)
    port, seen.turn_before = free_port(), await longest_turn(cluster)
    await add_member(cluster.file, new, f"127.0.0.1:{port}", old)
    before, begun = counter.done, trio.current_time()
    async with joining(new, port, ready, ready.parent / f"replica-{new}"):
        await wait_for_voter(cluster.file, new, seconds_max)
        seen.voting = trio.current_time() - begun
        seen.share = (counter.done - before) / seen.voting / calm_rate
    seen.turn, seen.turn_cpu = await longest_turn(cluster), await longest_turn(cluster, "turn_cpu_seconds_max")
    return seen


def _client(cluster: LocalCluster) -> AbstractAsyncContextManager[ClientDriver]:
    addresses = [place.address for place in cluster.file.replicas]
    return open_client(addresses, settings=ClientSettings(), on_completions=on_completions)


async def measure(arguments: argparse.Namespace, folder: Path) -> list[Replacement]:
    """Fill a cluster, kill a follower, replace it; each round with a cluster of its own."""
    found = []
    for number in range(arguments.rounds):
        place = folder / str(number)
        place.mkdir()
        settings, ready = Settings().changed("--durability", durability="disk"), place / "ready.json"
        settings = settings.changed("--sessions-max", sessions_max=max(settings.sessions_max, arguments.sessions + 100))
        running = local_cluster(3, settings, data_dir=place / "cluster", ready_file=ready, restarts=None, say=lambda _line: None)
        async with running as cluster, _client(cluster) as driver:
            await fill(driver, arguments.keys, 100)
            idle = await open_sessions(driver, arguments.sessions)
            counter, victim = Counter(), max(replica for replica in cluster.alive if replica != cluster.file.leader)
            cluster.kill(victim)
            async with trio.open_nursery() as nursery:
                for seed in range(LOADERS):
                    nursery.start_soon(load, driver, arguments.keys, seed, counter)
                await trio.sleep(2.0)
                found.append(await replace(cluster, ready, victim, 3, counter, arguments.away))
                nursery.cancel_scope.cancel()
            del idle
        print(f"round {number + 1}: {found[-1].line()}", flush=True)
    return found


def main() -> int:
    """Run, and tell the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=1_000_000, help="in the store (default 1000000)")
    parser.add_argument("--sessions", type=int, default=0, help="idle sessions (default none)")
    parser.add_argument("--rounds", type=int, default=3, help="replacements (default 3)")
    parser.add_argument("--seconds-max", type=float, default=20.0, help="most that the median until it votes may be (default 20)")
    parser.add_argument("--away", type=float, default=120.0, help="most seconds that one is watched (default 120)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="triskele-replacement-") as folder:
        found = trio.run(measure, arguments, Path(folder))
    voting, share = median(one.voting for one in found), median(one.share for one in found)
    print(
        f"median: votes after {voting:.2f} s, the load at {share:.0%}; longest turn of all {max(one.turn for one in found) * 1e3:.1f} ms, "
        f"{max(one.turn_cpu for one in found) * 1e3:.1f} ms of CPU at most"
    )
    return 0 if voting <= arguments.seconds_max else 1


if __name__ == "__main__":
    sys.exit(main())
