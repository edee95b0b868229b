"""How long a replica with many keys takes to come back after SIGKILL under load.

``python -m tests.chaos.restart --keys 1000000``: a cluster of three on real disks is filled, then written to until the victim's log is nearly as
long as a log ever gets; then it is killed, and started again at once, while the load goes on at the others.  Told is, from the
kill on: when it answers ``/healthz``, when it listens (it has read everything), when ``/readyz`` says so, when it has what the
leader had committed a moment before, and what it says of its own start.

What is written lies in the page cache: a SIGKILL leaves that.  The replica drops the log's part of it before it reads (``File.settle``).
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import attrs
import trio

from replica.client_driver import ClientSettings, open_client
from replica.config import Settings
from statemachine.command import PUT
from triskele.admin_client import AdminUnreachable, get
from triskele.calls import on_completions
from triskele.cluster import LocalCluster, local_cluster
from triskele.live_session import LiveSession

if TYPE_CHECKING:
    from collections.abc import Iterator

    from replica.client_driver import ClientDriver

FILLERS, FILL_COMMANDS = 4, 1000
"""Sessions that fill the store, and commands in a batch of theirs."""
LOADERS, LOAD_COMMANDS = 48, 4
"""Sessions of the load, and commands in a batch of theirs: small batches make many records, as many clients do."""
PAUSE_SECONDS = 0.02
"""Between two batches of a session while the victim is away: without it the machine is full, and nobody who lags could ever catch up."""
LOAD_SECONDS_MAX = 120.0
POLL_SECONDS = 0.02
SEGMENTS = 4
"""Of 16 MiB: a log of 64 MiB is replaced by a snapshot."""
OK = 200


FIGURES = ("healthy", "listens", "ready", "caught_up", "deaf", "processor")


@attrs.define
class Restart:
    """What was seen of one: seconds from the kill; the longest that its admin port left a question unanswered (deaf); and the seconds of a processor
    that the new process had used when it was ready, which a busy machine does not change."""

    healthy: float = 0.0
    listens: float = 0.0
    ready: float = 0.0
    caught_up: float = 0.0
    deaf: float = 0.0
    processor: float = 0.0
    reasons: list[str] = attrs.Factory(list)

    def line(self) -> str:
        """Tell it."""
        return "  ".join(f"{name.replace('_', ' ')} {getattr(self, name):6.2f}" for name in FIGURES)


def key_of(number: int) -> bytes:
    """Return a key."""
    return b"key-%09d" % number


async def fill(driver: ClientDriver, keys: int, value_bytes: int) -> None:
    """Write every key once."""
    starts: Iterator[int] = iter(range(0, keys, FILL_COMMANDS))

    async def run() -> None:
        live, draw = LiveSession(driver), random.Random(1)
        for start in starts:
            count = min(FILL_COMMANDS, keys - start)
            await _put(live, [key_of(number) for number in range(start, start + count)], draw.randbytes(value_bytes))
        live.close()

    async with trio.open_nursery() as nursery:
        for _ in range(FILLERS):
            nursery.start_soon(run)


async def load(driver: ClientDriver, keys: int, value_bytes: int, seed: int, calm: trio.Event) -> None:
    """Overwrite random keys until cancelled, with pauses once it is to be calm."""
    live, draw = LiveSession(driver), random.Random(seed)
    while True:
        await _put(live, [key_of(draw.randrange(keys)) for _ in range(LOAD_COMMANDS)], draw.randbytes(value_bytes))
        if calm.is_set():
            await trio.sleep(PAUSE_SECONDS)


async def _put(live: LiveSession, keys: list[bytes], value: bytes) -> None:
    session = await live.ready()
    await live.submit_record(session, bytes([PUT]) * len(keys), keys, [value] * len(keys)).done.wait()


def log_segments(cluster: LocalCluster, victim: int) -> int:
    """Count the segments of a replica's log."""
    return len(list(Path(cluster.file.replica(victim).data_dir).glob("log-*.segment")))


async def number_of(admin: str, name: str) -> float:
    """Return one of a replica's figures, -1 if it tells none; ``/status`` would begin to hash a million keys."""
    try:
        answer = await get(admin, "/metrics")
    except AdminUnreachable:
        return -1
    found = [row.rsplit(" ", 1)[1] for row in answer.body.decode().splitlines() if row.startswith(f"triskele_{name}{{")]
    return float(found[0]) if answer.status == OK and found else -1


async def restart(cluster: LocalCluster, victim: int, away_seconds_max: float) -> Restart:
    """Kill a replica, start it again and watch it come back."""
    seen, begun = Restart(), 0.0
    admin = cluster.file.replica(victim).admin
    leader = next(place.admin for place in cluster.file.replicas if place.id == cluster.file.leader)
    cluster.kill(victim)
    begun = trio.current_time()

    async def listens() -> None:
        await cluster.restart(victim)
        seen.listens = trio.current_time() - begun

    async def watch() -> None:
        while not seen.ready:
            asked = trio.current_time()
            try:
                answer = await get(admin, "/readyz", timeout=away_seconds_max)
            except AdminUnreachable:
                await trio.sleep(POLL_SECONDS)
                continue
            now = trio.current_time()
            seen.healthy = seen.healthy or now - begun
            seen.deaf = max(seen.deaf, now - asked)
            if answer.status == OK:
                seen.ready = now - begun
            elif not seen.reasons or seen.reasons[-1] != answer.body.decode().strip():
                seen.reasons.append(answer.body.decode().strip())
            await trio.sleep(POLL_SECONDS)

    with trio.move_on_after(away_seconds_max):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(listens)
            nursery.start_soon(watch)
        seen.processor = await number_of(admin, "cpu_seconds_total")
        while not seen.caught_up:
            committed = await number_of(leader, "commit")
            if await number_of(admin, "commit") >= committed >= 0:
                seen.caught_up = trio.current_time() - begun
            await trio.sleep(POLL_SECONDS)
    return seen


async def measure(arguments: argparse.Namespace, folder: Path) -> list[Restart]:
    """Fill a cluster, and restart a follower of it some times."""
    settings = Settings().changed("--durability", durability="disk")
    found: list[Restart] = []

    def hear(words: str) -> None:
        if " read " in words or "Traceback" in words or arguments.verbose:
            print(f"    {words}", flush=True)

    async with local_cluster(3, settings, data_dir=folder / "cluster", say=hear) as cluster:
        addresses = [place.address for place in cluster.file.replicas]
        async with open_client(addresses, settings=ClientSettings(), on_completions=on_completions) as driver:
            begun = trio.current_time()
            await fill(driver, arguments.keys, arguments.value_bytes)
            print(f"filled in {trio.current_time() - begun:.1f} s", flush=True)
            assert cluster.file.leader is not None
            victim = max(replica for replica in cluster.alive if replica != cluster.file.leader)
            for number in range(arguments.rounds):
                calm = trio.Event()
                async with trio.open_nursery() as nursery:
                    for seed in range(LOADERS):
                        nursery.start_soon(load, driver, arguments.keys, arguments.value_bytes, seed, calm)
                    with trio.move_on_after(LOAD_SECONDS_MAX):
                        await trio.sleep(1.0)
                        while log_segments(cluster, victim) >= SEGMENTS:  # noqa: ASYNC110 - files tell nobody
                            await trio.sleep(POLL_SECONDS)  # a snapshot is under way
                        while log_segments(cluster, victim) < SEGMENTS:  # noqa: ASYNC110 - files tell nobody
                            await trio.sleep(POLL_SECONDS)
                    calm.set()
                    found.append(await restart(cluster, victim, arguments.away))
                    nursery.cancel_scope.cancel()
                print(f"round {number + 1}: {found[-1].line()}", flush=True)
                if arguments.verbose:
                    print(f"    reasons: {found[-1].reasons}", flush=True)
    return found


def main() -> int:
    """Run, and tell the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=1_000_000, help="in the store (default 1000000)")
    parser.add_argument("--value-bytes", type=int, default=100, help="of each value (default 100)")
    parser.add_argument("--rounds", type=int, default=3, help="restarts (default 3)")
    parser.add_argument("--seconds-max", type=float, default=5.0, help="most that the median until ready may be (default 5)")
    parser.add_argument("--away", type=float, default=60.0, help="most seconds that a restart is watched (default 60)")
    parser.add_argument("--folder", default=None, help="where the cluster is made (default: the system's temporary folder)")
    parser.add_argument("--verbose", action="store_true", help="print all that the replicas say")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="triskele-restart-", dir=arguments.folder) as folder:
        found = trio.run(measure, arguments, Path(folder))
    for name in FIGURES:
        print(f"median {name:10} {median(getattr(one, name) for one in found):6.2f} s")
    return 0 if median(one.ready for one in found) <= arguments.seconds_max else 1


if __name__ == "__main__":
    sys.exit(main())
