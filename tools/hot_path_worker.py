"""The measured process of ``tools/hot_path.py``: a whole cluster and its clients in one process, without sockets, on a virtual clock.

Three real replicas (driver, core, codec) and two clients (driver, core, codec, load generator) exchange their frames through lists.  One node at
a time has a turn, drawn from those that have something to read, and the processor time of exactly that is its own.  All chance comes from the seed
and all time from the clock, so a tree says the same bytes each time; a digest of every frame shows it.  Not measured is what lies below a link
(system calls, Trio, checksums of what a replica answers) and what waits for a disk.

One file serves all trees, the measured one first in ``PYTHONPATH``; it stands on few names of theirs:

- ``ReplicaDriver(core, incarnation, clock=)`` with ``on_link_up``, ``on_frames``, ``turns``; ``Replica(CoreConfig(id, voters), now=)`` with
  ``node.leads`` and ``node.store.state_hash()``;
- ``ClientDriver(settings, on_completions, surroundings=)`` with ``_judge``, ``_on_link_up``, ``_on_frames``, ``turns``; ``Hello``;
- ``Runner(clock=, pendings=)`` with ``open_sessions``, ``preload``, ``measure``, ``on_completions``, ``completed``, ``submitted``, ``reasons``;
  ``Stream`` and ``Window``; what ``loadgen.workload`` draws.

A tree that lacks one of them ends the process, and the last line of its standard error says which.

Settings come as JSON in the only argument. Standard input then brings one number of operations a line, each answered with what they took; its end is
answered with the digest, the state and the profile, if one was wanted.
"""

from __future__ import annotations

import cProfile
import gc
import hashlib
import io
import itertools
import json
import math
import pstats
import random
import sys
from dataclasses import dataclass
from functools import partial
from time import thread_time_ns
from typing import TYPE_CHECKING, Any, cast

import attrs
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from loadgen.runner import Runner, Stream
from loadgen.window import Window
from loadgen.workload import KeySampler, Operations, Preload, WorkloadSettings
from replica.client_driver import ClientDriver, ClientSettings
from replica.core.config import CoreConfig
from replica.core.replica import Replica
from replica.driver import ReplicaDriver
from replica.hello import Hello, encode_hello
from replica.surroundings import Surroundings
from transport.frame import HEADER_BYTES
from transport.handshake import Identity

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from transport.link import Link

    Inbox = list[tuple[int, Sequence[bytes], int]]  # (sender's number, pieces of what it sent, bytes before the payload)

VOTERS = (0, 1, 2)
LEADER = 0
CLIENTS = 2
TURN_SECONDS = 0.0002
"""What the clock goes on with each turn: about what one takes under load."""
IDLE_SECONDS = 0.001
"""What it goes on when nobody has anything to read; then everybody has a turn, as timers would see to."""
PATIENCE_SECONDS = 600.0
"""By the virtual clock; nothing that is waited for here takes as long."""
PRELOAD_PENDINGS = 512


@dataclass(frozen=True)
class Settings:
    """What is measured.

    Attributes:
        tree: the checkout, for the names of files.
        seed: of the turns' order and of the workload.
        threads, pendings: streams of each client, and operations that each keeps in flight.
        keys: put into the store before, the hottest of the key space.
        write_percent, causal_write_percent, causal_percent: as of ``triskele load``.
        warm_up: operations before the first that count.
        profile: ``leader``, ``follower`` or ``client``; empty for none.
    """

    tree: str
    seed: int
    threads: int
    pendings: int
    keys: int
    write_percent: float
    causal_write_percent: float
    causal_percent: float
    warm_up: int
    profile: str = ""

    def workload(self) -> WorkloadSettings:
        """Return what all streams draw."""
        streams, percents = CLIENTS * self.threads, (self.causal_percent, self.write_percent, self.causal_write_percent)
        return WorkloadSettings("mix", *percents, seed=self.seed, streams=streams)


class Wire:
    """One direction of a link: what is sent lies in the receiver's inbox. A ``Link`` in all that drivers ask of one."""

    queued_bytes = 0

    def __init__(self, name: str, sender: int, inbox: Inbox) -> None:
        self.name = name
        self._sender = sender
        self._inbox = inbox

    def send(self, parts: Sequence[bytes], commands: int = 0) -> bool:  # noqa: ARG002 - counted by links
        """Queue a payload."""
        self._inbox.append((self._sender, parts, 0))
        return True

    def send_encoded(self, buffers: Sequence[bytes], commands: int = 0) -> bool:  # noqa: ARG002 - counted by links
        """Queue a frame, which has a header."""
        self._inbox.append((self._sender, buffers, HEADER_BYTES))
        return True

    def flush(self) -> None:
        """Do nothing: it is there already."""

    def close(self, reason: str) -> None:
        """End the measurement: no link of a healthy cluster closes."""
        sys.exit(f"the link {self.name} closed: {reason}")


class Node:
    """A replica or a client: an inbox, and turns that are measured.

    Args:
        number: a replica's id, or a client's number.
        handle: handles the payloads that came on a link: the driver's ``on_frames``.
        end_turn: ends the driver's turn.

    Attributes:
        nanoseconds: of processor time that its turns took.
        turns: how many it had.
        profile: sees its turns, if not None.
    """

    def __init__(self, number: int, handle: Callable[[Identity, Link, list[bytes]], None], end_turn: Callable[[], None]) -> None:
        self.number = number
        self.inbox: Inbox = []
        self.links: dict[int, tuple[Identity, Link]] = {}  # {number at the other end: who it is, our direction}
        self.nanoseconds = self.turns = 0
        self.profile: cProfile.Profile | None = None
        self._handle = handle
        self._end_turn = end_turn

    def wire_to(self, other: Node) -> Link:
        """Return our direction of a link."""
        return cast("Link", Wire(f"{self.number}-{other.number}", self.number, other.inbox))

    def turn(self, note: Callable[[bytes], None]) -> None:
        """Handle all that came, noted before, and end the turn."""
        bursts: dict[int, list[bytes]] = {}
        for sender, parts, skipped in self.inbox:
            payload = b"".join(parts)[skipped:]
            note(b"%d %d %d " % (sender, self.number, len(payload)))
            note(payload)
            bursts.setdefault(sender, []).append(payload)
        self.inbox.clear()
        if self.profile:
            self.profile.enable()
        began = thread_time_ns()
        for sender, payloads in bursts.items():
            identity, link = self.links[sender]
            self._handle(identity, link, payloads)
        self._end_turn()
        self.nanoseconds += thread_time_ns() - began
        if self.profile:
            self.profile.disable()
        self.turns += 1


class WiredClient(ClientDriver):
    """A client process's driver whose links are plugged in by hand."""

    def plug(self, node: Node, replica: Node) -> None:
        """Shake hands with a replica over a new link to it."""
        hello = Hello(cluster_id="", mode="ho", role="replica", id=replica.number, incarnation=1, config=1, voters=VOTERS)
        identity, link = self._judge(encode_hello(hello)), node.wire_to(replica)
        node.links[replica.number] = identity, link
        self._on_link_up(identity, link)

    def node(self, number: int) -> Node:
        """Return the node that gives this driver its turns."""
        return Node(number, self._on_frames, self.turns.end_now)


class Cluster:
    """Three replicas and two clients, all linked.

    Attributes:
        nodes: {role: its nodes}.
    """

    def __init__(self, settings: Settings, clock: MockClock) -> None:
        self._settings = settings
        self._clock = clock
        self._random = random.Random(settings.seed)
        self._digest = hashlib.blake2b(digest_size=16)
        self._profile = cProfile.Profile()
        now = clock.current_time
        self._drivers = [ReplicaDriver(Replica(CoreConfig(number, VOTERS), now=now()), 1, clock=now) for number in VOTERS]
        self._runners = [Runner(clock=now, pendings=settings.pendings) for _ in range(CLIENTS)]
        surroundings = Surroundings(clock=now, draw=self._random.random)
        clients = [WiredClient(ClientSettings(), runner.on_completions, surroundings=surroundings) for runner in self._runners]
        replicas = [Node(number, driver.on_frames, driver.turns.end_now) for number, driver in zip(VOTERS, self._drivers, strict=True)]
        users = [client.node(len(VOTERS) + number) for number, client in enumerate(clients)]
        self.nodes = {"leader": [replicas[LEADER]], "follower": [node for node in replicas if node.number != LEADER], "client": users}
        self._all = [*replicas, *users]
        self._add_streams(clients)
        for near, far in itertools.permutations(replicas, 2):
            self._accept(near, far, peer=True)
        for client, user in zip(clients, users, strict=True):
            for replica in replicas:
                client.plug(user, replica)
                self._accept(replica, user, peer=False)

    def _add_streams(self, clients: list[WiredClient]) -> None:
        workload, threads = self._settings.workload(), self._settings.threads
        sampler = KeySampler(workload.key_space, workload.zipf)
        for place, (runner, client) in enumerate(zip(self._runners, clients, strict=True)):
            numbers = range(place * threads, (place + 1) * threads)
            runner.streams.extend(Stream(number, client, Operations(workload, number, sampler)) for number in numbers)

    def _accept(self, near: Node, far: Node, *, peer: bool) -> None:
        identity, link = Identity(far.number if peer else f"client {far.number}", exclusive=peer), near.wire_to(far)
        near.links[far.number] = identity, link
        self._drivers[near.number].on_link_up(identity, link)

    # ---------------------------------------------------------------------------------------------------------------------- turns

    def run(self, until: Callable[[], bool]) -> None:
        """Give turns until something is so."""
        clock, note, last = self._clock, self._digest.update, self._clock.current_time() + PATIENCE_SECONDS
        while not until():
            clock.jump(TURN_SECONDS)
            ready = [node for node in self._all if node.inbox]
            if ready:
                self._random.choice(ready).turn(note)
                continue
            clock.jump(IDLE_SECONDS)
            for node in self._all:
                node.turn(note)
            if clock.current_time() > last:
                sys.exit(f"nothing goes on: {self.completed()} operations completed")

    def pause(self, seconds: float) -> None:
        """Give turns for so long."""
        end = self._clock.current_time() + seconds
        self.run(lambda: self._clock.current_time() >= end)

    def completed(self) -> int:
        """Count the operations that completed, those that filled the store included."""
        return sum(runner.completed for runner in self._runners)

    def in_flight(self) -> int:
        """Count the operations that did not complete yet."""
        return sum(runner.submitted for runner in self._runners) - self.completed()

    # -------------------------------------------------------------------------------------------------------- what runners wait for

    async def _all_do(self, work: list[Callable[[], Awaitable[None]]], until: Callable[[], bool]) -> None:
        """Let each runner do something that waits, and give turns until it is done; no task runs meanwhile."""
        async with trio.open_nursery() as nursery:
            for one in work:
                nursery.start_soon(one)
            await wait_all_tasks_blocked()
            self.run(until)

    async def open(self) -> None:
        """Open all sessions."""
        streams = [stream for runner in self._runners for stream in runner.streams]
        tokens = [[b"stream %d" % stream.number for stream in runner.streams] for runner in self._runners]
        work = [partial(runner.open_sessions, theirs, PATIENCE_SECONDS) for runner, theirs in zip(self._runners, tokens, strict=True)]
        await self._all_do([*work], lambda: all(stream.is_open for stream in streams))

    async def fill(self) -> None:
        """Put the hottest keys into the store."""
        keys = attrs.evolve(self._settings.workload(), key_space=self._settings.keys)
        sources = [[Preload(keys, stream.number) for stream in runner.streams] for runner in self._runners]
        work = [partial(runner.preload, theirs, PRELOAD_PENDINGS) for runner, theirs in zip(self._runners, sources, strict=True)]
        await self._all_do([*work], lambda: not self.in_flight())

    async def measure(self, lines: Callable[[], str]) -> None:
        """Warm up, and answer each line until they end; then let everything in flight complete."""
        begin = self._clock.current_time()
        windows = [Window(begin, begin, math.inf, runner.on_open, runner.on_close) for runner in self._runners]
        async with trio.open_nursery() as nursery:
            for runner, window in zip(self._runners, windows, strict=True):
                nursery.start_soon(runner.measure, window)
            await wait_all_tasks_blocked()
            self._slice(self._settings.warm_up)
            profiled = self.nodes.get(self._settings.profile, [])
            for node in profiled:
                node.profile = self._profile
            say({"ready": True})
            while line := lines():
                say(self._slice(int(line)))
            for node in profiled:
                node.profile = None
            for window in windows:
                window.close(self._clock.current_time())
            self.run(lambda: not self.in_flight())
        self.pause(1.0)

    def _slice(self, operations: int) -> dict[str, Any]:
        """Run until so many operations more are complete; tell how many were, and what they took: of one follower, of both clients together."""
        before = self.completed()
        for node in self._all:
            node.nanoseconds = node.turns = 0
        self.run(lambda: self.completed() >= before + operations)
        shares = {"leader": 1, "follower": len(self.nodes["follower"]), "client": 1}
        return {
            "operations": self.completed() - before,
            "nanoseconds": {role: sum(node.nanoseconds for node in nodes) / shares[role] for role, nodes in self.nodes.items()},
            "turns": {role: sum(node.turns for node in nodes) / shares[role] for role, nodes in self.nodes.items()},
        }

    def result(self) -> dict[str, Any]:
        """Tell the digest of all frames and the hash of the state; a cluster that is not healthy has none."""
        states = {driver.core.node.store.state_hash() for driver in self._drivers}
        reasons = sorted({reason for runner in self._runners for reason in runner.reasons})
        if len(states) > 1 or reasons or not self._drivers[LEADER].core.node.leads:
            sys.exit(f"the cluster is not healthy: {len(states)} states, failures: {', '.join(reasons) or 'none'}")
        return {"digest": self._digest.hexdigest(), "state": f"{states.pop():016x}", "profile": profile_table(self._profile, self._settings.tree)}


def profile_table(profile: cProfile.Profile, tree: str) -> str:
    """Return the functions that took the most time themselves, files from the tree's root; empty if no turn was profiled."""
    if not profile.getstats():
        return ""
    output = io.StringIO()
    pstats.Stats(profile, stream=output).sort_stats("tottime").print_stats(40)
    return output.getvalue().replace(f"{tree}/", "").strip()


def say(answer: dict[str, Any]) -> None:
    """Answer in one line."""
    print(json.dumps(answer), flush=True)


def tune() -> None:
    """Keep the cyclic collector away, as replicas and clients do."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


async def main(settings: Settings, clock: MockClock, lines: Callable[[], str]) -> None:
    """Do what the module says.

    Args:
        settings: what is measured.
        clock: the run's, which nobody else moves.
        lines: gives the next line of orders at each call, and an empty one at their end.
    """
    cluster = Cluster(settings, clock)
    cluster.pause(0.2)
    await cluster.open()
    if settings.keys:
        await cluster.fill()
    tune()
    await cluster.measure(lines)
    say(cluster.result())


if __name__ == "__main__":
    chosen = Settings(**json.loads(sys.argv[1]))
    virtual = MockClock()  # stands still until it is told to jump; Trio's too, so that no timer asks the real one
    trio.run(main, chosen, virtual, sys.stdin.readline, clock=virtual)
