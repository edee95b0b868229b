"""One seed: the world, its certificate, and whether the run meant anything."""

from __future__ import annotations

import traceback
from itertools import pairwise
from typing import TYPE_CHECKING

import attrs

from replica.core.quorum import fast_quorum
from statemachine.command import CLOSE, EXPIRE
from tests.sim.certificate import Certificate
from tests.sim.graph import Graph
from tests.sim.history import Violation
from tests.sim.options import Options, draw
from tests.sim.planted import plant
from tests.sim.recorded import check_recorded
from tests.sim.workload import ENCORE_DEPTH, ENCORE_PAUSE_SECONDS
from tests.sim.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from replica.core.config import Mode

COMPLETED_MIN = 30
"""Fewer completed commands prove nothing."""
ENCORE_FAST_MIN = 0.9
"""Share of fast completions at the end of a calm encore without conflicts."""


@attrs.frozen
class Report:
    """What a run showed. Plain values: it travels between processes."""

    seed: int
    mode: Mode
    replicas: int
    command_line: str
    failure: str = ""
    story: tuple[str, ...] = ()
    completed: int = 0
    fast: int = 0
    slow: int = 0
    conflicts: int = 0
    leader_changes: int = 0
    """Views led by another replica than the one before."""
    faults: int = 0
    """Frames and links that faults struck."""
    struck: tuple[tuple[str, int], ...] = ()
    drift: bool = False
    """Clocks were wrong."""
    closed: int = 0
    """Sessions that their clients closed."""
    expired: int = 0
    """Sessions that their leases ended."""
    faulty: bool = False
    sessions: int = 1
    short: bool = False
    """Too many replicas died for a fast quorum."""
    events: int = 0
    virtual_seconds: float = 0.0
    digest: int = 0
    """Of everything that was sent: equal for equal runs."""

    @property
    def vacuous(self) -> str:
        """Say why the run proves little; empty when it does prove something."""
        if self.completed < COMPLETED_MIN:
            return f"only {self.completed} commands completed"
        if self.faulty and not self.faults:
            return "no fault struck"
        if self.mode != "paxos" and not self.fast and not self.short:
            return "no command took the fast path"
        if self.mode != "paxos" and self.sessions > 1 and not (self.slow and self.conflicts):
            return "nothing conflicted"
        return ""

    @property
    def passed(self) -> bool:
        """Whether nothing was wrong."""
        return not self.failure


def run(options: Options, trace: Callable[[str], None] | None = None, planted: str | None = None) -> Report:
    """Run one world and judge it; never raises for what the cores did. ``planted``: what is, for the line that replays the run."""
    report = play(World(options, trace))
    return attrs.evolve(report, command_line=f"{report.command_line} --planted {planted}") if planted else report


def play(world: World) -> Report:
    """Let a world that was made happen, and judge it; never raises for what the cores did."""
    failure = ""
    story: tuple[str, ...] = ()
    try:
        world.run()
        judge(world)
    except Violation as violation:
        failure, story = str(violation), tuple(world.told_story())
    except Exception:  # noqa: BLE001 - a core that raises is a failed run like any other
        failure, story = traceback.format_exc(), tuple(world.told_story())
    return make_report(world, failure, story)


def draw_world(seed: int, mode: Mode | None, replicas: int | None) -> Options:
    """Draw a seed's world: that of the storm that is planted, if one is."""
    return draw(seed, mode, replicas)


def run_seed(seed: int, mode: Mode | None, replicas: int | None, planted: str | None) -> Report:
    """Run one seed, with a bug planted if one is named; worker processes find this by its name."""
    if planted:
        with plant(planted):
            return run(draw_world(seed, mode, replicas), None, planted)
    return run(draw_world(seed, mode, replicas))


def judge(world: World) -> None:
    """Judge a finished run.

    Raises:
        Violation: a promise was broken.
    """
    certificate = Certificate(world)
    certificate.check()
    Graph(certificate).check()
    check_recorded(world.history)
    for track in world.history.tracks:
        judge_encore(world, [operation.fast for operation in track.logged if operation.key is not None and operation.key.startswith(b"own")])


def judge_encore(world: World, fast: list[bool]) -> None:
    """The fast path must be back when nothing conflicts any more (REFUSED is not final)."""
    late = fast[2 * len(fast) // 3 :]
    options = world.options
    everybody = all(actor.alive for actor in world.replicas)
    roomy = options.core.witness_commands_max > 2 * options.clients * options.sessions * ENCORE_DEPTH  # what is being committed takes room too
    # With uneven delays, or syncs that take their time, the slow path by the quicker replicas may win.
    even = options.delays[1] <= 2 * options.delays[0] and not options.sync_seconds
    # Who votes is told when it changes, and with each ping: until then a client may count a removed replica, which commits nothing any more.
    told = not options.faults.changes or options.client.ping_seconds < ENCORE_PAUSE_SECONDS
    # Who leads must have led before the first of them, and long enough for what nobody heard to be sent again.
    led = world.observer.led_since + options.client.resend_seconds < world.calm_at + ENCORE_PAUSE_SECONDS
    if options.mode != "paxos" and everybody and roomy and even and told and led and sum(late) < ENCORE_FAST_MIN * len(late):
        raise Violation(f"liveness: only {sum(late)} of the last {len(late)} commands without conflict were fast")


def leader_changes(leaders: dict[int, int]) -> int:
    """Count the views whose leader another replica succeeded; ``leaders``: ``{view: who led it}``."""
    return sum(before != after for before, after in pairwise(leaders[view] for view in sorted(leaders)))


def make_report(world: World, failure: str, story: tuple[str, ...]) -> Report:
    """Sum a run up."""
    options, counts = world.options, world.network.counts
    faults, ends = options.faults, list(world.observer.registry.ended.values())
    return Report(
        options.seed, options.mode, options.replicas, options.command_line, failure, story,
        world.history.completed, world.history.fast, world.history.slow, world.observer.conflicts,
        leader_changes(world.observer.leaders),
        sum(counts.values()), tuple(counts.items()), options.drift != 1.0, ends.count(CLOSE), ends.count(EXPIRE),
        any(attrs.astuple(faults)), options.clients * options.sessions,
        sum(actor.alive for actor in world.replicas) < fast_quorum(options.replicas), world.events, world.now, world.network.digest,
    )  # fmt: skip
