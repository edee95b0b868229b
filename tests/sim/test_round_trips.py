"""Round trips, counted in virtual time: every link takes the same time each way, nothing is lost, nothing waits for a flush.

``DELAY`` is one way, so one round trip is two of it. The pauses in which an idle leader or a home gathers what it tells (``commit_flush_seconds``,
``note_seconds``) are 0 here: they are no round trips.
"""

from __future__ import annotations

import attrs
import pytest

from replica.core.client import ClientConfig
from replica.core.config import MODES, CoreConfig, Mode
from statemachine.command import CAS_VALUE, CAUSAL, PUT
from tests.sim.history import Operation, Submission
from tests.sim.options import Options
from tests.sim.run import judge
from tests.sim.world import World

DELAY = 0.01
FAST_MODES: tuple[Mode, ...] = ("curp", "ht", "ho")
CAUSAL_MODES: tuple[Mode, ...] = ("ht", "ho")

each_size = pytest.mark.parametrize("replicas", [3, 5])


class Bench:
    """A calm world with two clients of two sessions each, whose commands come from the test."""

    def __init__(self, mode: Mode, replicas: int) -> None:
        voters = tuple(range(replicas))
        core = CoreConfig(id=0, voters=voters, mode=mode, commit_flush_seconds=0.0, note_seconds=0.0)
        client = ClientConfig(voters=voters, mode=mode, resend_seconds=10.0, ping_seconds=10.0)
        options = Options(
            seed=1,
            mode=mode,
            replicas=replicas,
            clients=2,
            sessions=2,
            commands=0,
            delays=(DELAY, DELAY),
            fault_seconds=1.0,
            core=core,
            client=client,
        )
        self.world = World(options)
        self.world.run_until(1.0)

    def near(self, client: int, replica: int, delay: float) -> None:
        """Shorten the way between a client and a replica, and let the client notice."""
        link = self.world.network.links[f"c{client}", f"r{replica}"]
        for way in link.ways.values():
            way.delays = (delay, delay)

    def do(self, after: float, session: int, *commands: tuple[int, bytes, bytes]) -> list[Operation]:
        """Submit logged commands ``(kind, key, value)`` after some time; returns what becomes of them."""
        world, found = self.world, list[Operation]()
        track, core = world.history.tracks[session], self._session(session)
        kinds, keys = bytes(kind for kind, _, _ in commands), [key for _, key, _ in commands]
        values = [[None, value] if kind == CAS_VALUE else value for kind, _, value in commands]

        def submit() -> None:
            handle = world.history.record(track, kinds, keys, values, world.stamp(), world.now)
            core.record(kinds, keys, list(values), handle, world.now)
            self._go(track.client, found, handle)

        world.at(world.now + after, submit)
        return found

    def read(self, after: float, session: int, key: bytes, *, strong: bool) -> list[Operation]:
        """Submit a read after some time."""
        world, found = self.world, list[Operation]()
        track, core = world.history.tracks[session], self._session(session)

        def submit() -> None:
            handle = world.history.read(track, [key], world.stamp(), world.now, strong=strong)
            (core.strong_read if strong else core.causal_read)([key], handle, world.now)
            self._go(track.client, found, handle)

        world.at(world.now + after, submit)
        return found

    def _session(self, session: int):  # type: ignore[no-untyped-def] # noqa: ANN202 - the core's own
        world = self.world
        core = world.clients[world.history.tracks[session].client].programs[session % world.options.sessions].session
        assert core is not None
        return core

    def _go(self, client: int, found: list[Operation], handle: Submission) -> None:
        found.extend(handle.operations)
        self.world.clients[client].turns.ask(self.world.now)

    def finish(self) -> None:
        """Let everything complete, and judge the run."""
        self.world.run_until(self.world.now + 100 * DELAY)
        assert self.world.what_is_left() == ""
        judge(self.world)


def ways(operations: list[Operation]) -> list[float]:
    """Return how many one-way delays each took."""
    assert operations
    assert all(operation.returned for operation in operations), operations
    return [round((operation.returned_at - operation.invoked_at) / DELAY, 6) for operation in operations]


@each_size
@pytest.mark.parametrize("mode", MODES)
def test_a_strong_command_without_conflict(mode: Mode, replicas: int) -> None:
    """One round trip; in ``paxos``, which has no fast path, two."""
    bench = Bench(mode, replicas)
    put = bench.do(0.0, 0, (PUT, b"x", b"1"))
    cas = bench.do(0.2, 0, (CAS_VALUE, b"y", b"2"))
    bench.finish()
    assert ways(put) == ways(cas) == ([4] if mode == "paxos" else [2])


@each_size
@pytest.mark.parametrize("mode", FAST_MODES)
def test_a_strong_command_with_a_conflict_takes_two_round_trips(mode: Mode, replicas: int) -> None:
    bench = Bench(mode, replicas)
    first = bench.do(0.0, 0, (PUT, b"x", b"1"))
    second = bench.do(DELAY / 4, 2, (PUT, b"x", b"2"))
    bench.finish()
    assert (ways(first), ways(second)) == ([2], [4])


@each_size
@pytest.mark.parametrize("mode", FAST_MODES)
def test_a_pipeline_is_as_quick_as_one_command(mode: Mode, replicas: int) -> None:
    """Fifteen in flight on one key: a session never conflicts with itself."""
    bench = Bench(mode, replicas)
    puts = [bench.do(number * DELAY / 10, 0, (PUT, b"x", b"%d" % number)) for number in range(15)]
    bench.finish()
    assert [ways(put) for put in puts] == [[2]] * 15


@each_size
def test_two_sessions_on_different_keys_do_not_meet(replicas: int) -> None:
    bench = Bench("ho", replicas)
    found = [bench.do(number * DELAY / 10, number % 4, (PUT, b"k%d" % (number % 4), b"%d" % number)) for number in range(12)]
    bench.finish()
    assert [ways(operations) for operations in found] == [[2]] * 12


@each_size
@pytest.mark.parametrize("mode", CAUSAL_MODES)
def test_causal_commands_take_one_round_trip(mode: Mode, replicas: int) -> None:
    """Writes and reads, alone and with reads of what was just written."""
    bench = Bench(mode, replicas)
    write = bench.do(0.0, 0, (PUT | CAUSAL, b"x", b"1"))
    read = bench.read(DELAY / 2, 0, b"x", strong=False)
    other = bench.read(5 * DELAY, 2, b"y", strong=False)
    bench.finish()
    assert (ways(write), ways(read), ways(other)) == ([2], [2], [2])
    assert read[0].result == b"1"


@pytest.mark.parametrize("mode", ["paxos", "curp"])
def test_causal_commands_of_modes_without_them_are_strong(mode: Mode) -> None:
    bench = Bench(mode, 3)
    write = bench.do(0.0, 0, (PUT | CAUSAL, b"x", b"1"))
    bench.finish()
    assert ways(write) == ([4] if mode == "paxos" else [2])


@each_size
def test_causal_commands_are_as_near_as_their_home(replicas: int) -> None:
    """The way to the home alone counts: a tenth of the others' here."""
    bench = Bench("ho", replicas)
    home = bench._session(0).home
    bench.near(0, home, DELAY / 10)
    write = bench.do(0.0, 0, (PUT | CAUSAL, b"x", b"1"))
    read = bench.read(10 * DELAY, 0, b"x", strong=False)
    strong = bench.do(20 * DELAY, 0, (PUT, b"y", b"2"))
    bench.finish()
    assert (ways(write), ways(read), ways(strong)) == ([0.2], [0.2], [2])


@each_size
@pytest.mark.parametrize("mode", MODES)
def test_a_strong_read_takes_one_round_trip(mode: Mode, replicas: int) -> None:
    bench = Bench(mode, replicas)
    bench.do(0.0, 2, (PUT, b"x", b"1"))
    read = bench.read(20 * DELAY, 0, b"x", strong=True)
    bench.finish()
    assert ways(read) == [2]
    assert read[0].result == b"1"


@each_size
@pytest.mark.parametrize("mode", ["curp", "ho"])
def test_a_strong_read_of_an_own_uncommitted_write_takes_one_round_trip(mode: Mode, replicas: int) -> None:
    bench = Bench(mode, replicas)
    write = bench.do(0.0, 0, (PUT, b"x", b"1"), (PUT, b"y", b"2"))
    read = bench.read(DELAY / 10, 0, b"x", strong=True)
    bench.finish()
    assert (ways(write), ways(read)) == ([2, 2], [2])
    assert (read[0].result, read[0].version) == (b"1", 0)


@each_size
@pytest.mark.parametrize("mode", FAST_MODES)
def test_a_strong_read_waits_for_another_sessions_uncommitted_write(mode: Mode, replicas: int) -> None:
    """For its commit, which is at most one round trip more."""
    bench = Bench(mode, replicas)
    bench.do(0.0, 2, (PUT, b"x", b"1"))
    read = bench.read(DELAY / 2, 0, b"x", strong=True)
    bench.finish()
    assert ways(read) == [3.5]
    assert read[0].result == b"1"


@each_size
def test_a_strong_command_behind_own_causal_writes(replicas: int) -> None:
    """``ho``: witnesses hold them, one round trip. ``ht``: they do not, so it waits for their commit."""
    found = {}
    for mode in CAUSAL_MODES:
        bench = Bench(mode, replicas)
        bench.do(0.0, 0, (PUT | CAUSAL, b"x", b"1"))
        found[mode] = bench.do(DELAY / 2, 0, (PUT, b"y", b"2"))
        bench.finish()
    assert {mode: ways(operations) for mode, operations in found.items()} == {"ho": [2], "ht": [4]}


@each_size
def test_a_mixed_pipeline_takes_one_round_trip(replicas: int) -> None:
    """Every kind in flight at once, in one frame and in frames that follow each other."""
    bench = Bench("ho", replicas)
    found: list[list[Operation]] = []
    for start in (0.0, 0.0, DELAY / 3, DELAY / 2):
        number = len(found)
        found += [
            bench.do(start, 0, (PUT, b"x", b"s%d" % number)), bench.do(start, 0, (PUT | CAUSAL, b"y", b"c%d" % number)),
            bench.read(start, 0, b"x", strong=True), bench.read(start, 0, b"y", strong=False),
        ]  # fmt: skip
    bench.finish()
    assert [ways(operations) for operations in found] == [[2]] * 16


@each_size
@pytest.mark.parametrize("mode", FAST_MODES)
def test_a_dead_follower_costs_the_fast_path_only_where_the_quorum_needs_it(mode: Mode, replicas: int) -> None:
    """Three replicas need all three for one round trip; of five one may be missing."""
    bench = Bench(mode, replicas)
    world = bench.world
    world.places["r1"].alive = False
    for (sender, _), link in world.network.links.items():
        if sender == "r1":
            world.network.cut(link, 0.0)
    put = bench.do(0.1, 0, (PUT, b"x", b"1"))
    bench.finish()
    assert ways(put) == ([4] if replicas == 3 else [2])


def test_the_bench_measures_what_it_says() -> None:
    """Twice the way, twice the time."""
    bench = Bench("curp", 3)
    for link in bench.world.network.links.values():
        for way in link.ways.values():
            way.delays = (2 * DELAY, 2 * DELAY)
    put = bench.do(0.0, 0, (PUT, b"x", b"1"))
    bench.finish()
    assert ways(put) == [4]
    assert attrs.evolve(bench.world.options, seed=2).command_line.startswith("python -m tests.sim --seed 2")
