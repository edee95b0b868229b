"""A thousand clients who say nothing, and a hundred who write, at one cluster of real processes: ``python -m tests.loopback.connections``.

The idle are links that said hello to the leader and stay; the busy are clients of their own, each with a link to every replica and a session, that
write and wait, one command after the other.  What is measured is the leader's: it has all idle links, and as many busy ones as any other.
"""

from __future__ import annotations

import argparse
import resource
import socket
import sys
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import attrs
import trio

import triskele
from replica.config import Settings
from replica.core import messages as m
from replica.wire import encode
from tests.loopback.conftest import addresses_of, counters_of, resident, status_of
from tests.loopback.garbage import GREETED, framed
from triskele.cluster import local_cluster

IDLE, BUSY, WRITES = 1000, 100, 10
DESCRIPTORS_MIN = 2 * Settings().connections_max + 200
"""What a replica wants: with fewer it lowers ``connections_max``. This process needs fewer."""
SECONDS_MAX = 120.0
"""It takes four seconds, and many times as long on a machine that does much else."""
PING = framed(encode(0, [m.Ping(7)]))


class TooFewDescriptors(Exception):
    """The system allows processes of this user too few descriptors."""


@attrs.frozen(kw_only=True)
class Held:
    """What came of it.

    Attributes:
        written: commands that completed.
        seconds: they took.
        answering: idle links that were answered at the end.
        idle_bytes: resident memory of the leader for each idle link.
        busy_bytes: likewise for each busy link, with its session and what it wrote.
        descriptors: of the leader: before, with all links, and when all were closed.
        closed: links that the leader closed meanwhile, by reason.
    """

    written: int
    seconds: float
    answering: int
    idle_bytes: float
    busy_bytes: float
    descriptors: tuple[int, int, int]
    closed: dict[str, int]


def allow_descriptors() -> None:
    """Allow this process, and those that it starts, as many descriptors as the system lets it.

    Raises:
        TooFewDescriptors: That is not enough.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < DESCRIPTORS_MIN:
        raise TooFewDescriptors(f"at most {hard} descriptors are allowed (ulimit -Hn), {DESCRIPTORS_MIN} are needed")
    if soft != resource.RLIM_INFINITY and soft < DESCRIPTORS_MIN:
        resource.setrlimit(resource.RLIMIT_NOFILE, (DESCRIPTORS_MIN, hard))


def descriptors_of(pid: int) -> int:
    """Count a process's open files."""
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def greeted(address: str) -> socket.socket:
    """Dial, say hello and wait for the other side's."""
    host, port = address.rsplit(":", 1)
    link = socket.create_connection((host, int(port)), timeout=10)
    link.sendall(GREETED)
    assert link.recv(65536)
    return link


def answers(link: socket.socket) -> bool:
    """Whether the other side answers a ping; what it said before that is read away."""
    link.setblocking(False)
    try:
        while link.recv(65536):
            pass
        return False
    except BlockingIOError:
        link.settimeout(10)
    try:
        link.sendall(PING)
        return bool(link.recv(65536))
    except OSError:
        return False


async def hold(idle: int = IDLE, busy: int = BUSY, writes: int = WRITES) -> Held:
    """Start three replicas, hold so many links and let the busy ones write.

    Raises:
        TooFewDescriptors: The system does not allow them.
        TooSlowError: It took more than ``SECONDS_MAX``.
    """
    allow_descriptors()
    with trio.fail_after(SECONDS_MAX), ExitStack() as links:
        async with local_cluster(3, Settings(), ready_seconds=60.0, restarts=None, say=lambda _line: None) as running:
            file = running.file
            leader = status_of(file, 0)["leader"]
            pid = file.replica(leader).pid
            assert pid is not None
            before, memory = descriptors_of(pid), [resident(file, leader)]
            closed = Counter(counters_of(file, leader)["links_closed"])
            silent = [links.enter_context(await trio.to_thread.run_sync(greeted, file.replica(leader).address)) for _ in range(idle)]
            memory.append(resident(file, leader))
            stores = Stores(addresses_of(file), busy, writes)
            async with trio.open_nursery() as nursery:
                for number in range(busy):
                    nursery.start_soon(stores.write, number)
                await stores.all_written.wait()
                memory.append(resident(file, leader))
                during = descriptors_of(pid)
                closed = Counter(counters_of(file, leader)["links_closed"]) - closed
                answering = sum([await trio.to_thread.run_sync(answers, link) for link in silent])
                stores.may_leave.set()
            links.close()
            while descriptors_of(pid) > before:  # noqa: ASYNC110 - only the system knows
                await trio.sleep(0.02)
            after = descriptors_of(pid)
    return Held(
        written=stores.written,
        seconds=stores.seconds,
        answering=answering,
        idle_bytes=(memory[1] - memory[0]) / max(1, idle),
        busy_bytes=(memory[2] - memory[1]) / max(1, busy),
        descriptors=(before, during, after),
        closed=dict(closed),
    )


class Stores:
    """The busy clients: all connect, then all write, then all wait until they may leave."""

    def __init__(self, addresses: str, clients: int, writes: int) -> None:
        self.addresses, self.clients, self.writes = addresses, clients, writes
        self.written, self.seconds = 0, 0.0
        self.all_connected, self.all_written, self.may_leave = trio.Event(), trio.Event(), trio.Event()
        self._connected = self._done = 0
        self._began = 0.0

    async def write(self, number: int) -> None:
        """Be one of them."""
        async with triskele.connect(self.addresses, timeout=SECONDS_MAX) as store:
            self._connected += 1
            if self._connected == self.clients:
                self._began = time.perf_counter()
                self.all_connected.set()
            await self.all_connected.wait()
            for step in range(self.writes):
                await store.put(b"client %d" % number, b"%d" % step)
                self.written += 1
            self._done += 1
            if self._done == self.clients:
                self.seconds = time.perf_counter() - self._began
                self.all_written.set()
            await self.may_leave.wait()


def main() -> int:
    """Run from the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.loopback.connections", description="Hold many connections to one cluster.")
    parser.add_argument("--idle", type=int, default=IDLE, help="that say nothing, at the leader (default %(default)s)")
    parser.add_argument("--busy", type=int, default=BUSY, help="clients that write (default %(default)s)")
    parser.add_argument("--writes", type=int, default=WRITES, help="of each, one after the other (default %(default)s)")
    given = parser.parse_args()
    began = time.perf_counter()
    held = trio.run(hold, given.idle, given.busy, given.writes)
    before, during, after = held.descriptors
    sys.stdout.write(
        f"{given.idle:,} idle links of which {held.answering:,} answered at the end, {held.idle_bytes / 1024:.1f} KiB each; "
        f"{given.busy} clients wrote {held.written:,} times in {held.seconds:.2f} s, {held.busy_bytes / 1024:.1f} KiB each; "
        f"descriptors {before}, {during}, {after}; links closed meanwhile: {held.closed or 'none'}; {time.perf_counter() - began:.1f} s\n"
    )
    return 0 if (held.answering, held.written) == (given.idle, given.busy * given.writes) else 1


if __name__ == "__main__":
    sys.exit(main())
