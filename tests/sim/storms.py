"""Worlds that are hard on elections, recoveries and disks; planted like a bug, they plant none.

A recovery has something to recover when commands completed that no follower has in its log.  That takes a leader that dies while its entries are
on their way and its answers have arrived, again and again, and clients that never rest.  In a *storm* replicas are far from each other and near to
their clients, have disks, and die when they lead.  In an *outage* syncs are slow, and all replicas die together.  In a *schism* nobody dies, but
links between replicas are down for longer than it takes to elect another leader, and clients hear both sides.  In *churn* members come and go
while all that happens; in an *upheaval* the leader dies, or is cut off from some, just when it has begun to change them.  In a *skew* the disk of
whoever leads fails, and all clocks are wrong; in an *estrangement* clocks are too, and whoever leads is left alone with some clients, who mostly
read.  In *partings* sessions come and go, closed by clients or ended by leases that are very short; in a *lapse* clients are silent for longer
than those and speak again, and the leader dies or is cut off when it has just begun to end their sessions.  In a *succession* leaders hand over
again and again while sessions or members come and go.  In *hearsay* clients hear not all replicas, and then none, while the leader dies and
another one leads: what that has committed they hear before they hear of it.  In *straits* all limits are so small that everything comes in
pieces.  In *amnesia* whoever dies has forgotten all but its vote, while members come and go; so many die only that those who know more can go on.
*Rapids* are straits in which members and sessions come and go, with disks or without, and frames are lost, doubled and overtake each other as
well. Where there is *rot*, the state of a replica changes by itself, and replicas compare theirs.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import attrs

from replica.core import registrar
from replica.core.tail import CLOSED
from tests.sim import faults as faults_module
from tests.sim import options as options_module
from tests.sim.actors import ReplicaActor
from tests.sim.faults import Saboteur
from tests.sim.options import Faults, Options
from tests.sim.straits import LIMITS, narrow
from tests.sim.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from replica.core.config import Mode

Patch = tuple[Any, str, Any]
FAR_FACTOR = 8.0
"""How much longer frames between replicas take in a storm."""
LEASE_SECONDS = 30.0
"""No session expires in a storm that is not about that."""
STRIKE_SECONDS = 0.01
"""A leader that is struck down in an upheaval or a lapse dies within this time after it logged a change, or an end."""


def draw_storm(seed: int, mode: Mode | None = None, replicas: int | None = None) -> Options:
    """Draw the world of a storm: who leads dies."""
    rng = random.Random(f"storm {seed}")
    base = options_module.draw(seed, mode, replicas)
    core = attrs.evolve(
        base.core, durable=True, heartbeat_seconds=0.02, election_seconds=0.1, commit_flush_seconds=0.002, note_seconds=0.001, forward_seconds=0.3,
        read_wait_seconds=0.1, witness_commands_max=200_000, reads_waiting_max=100_000, entries_kept_max=4096, log_bytes_max=256 << 20,
    )  # fmt: skip
    return attrs.evolve(
        base, clients=3, sessions=2, waves=1, guard_seconds=0.0, keys=rng.choice((4, 16, 64)), commands=150, depth=6, burst=2,
        think_seconds=0.01, delays=(0.0003, 0.0006),
        client=attrs.evolve(base.client, lease_seconds=LEASE_SECONDS), partings=0,
        drift=1.0, turn_seconds=0.0, apply_commands=1 << 30, apply_seconds=0.0, encore=0, snapshot_share=0.0, fault_seconds=1.5,
        sync_seconds=rng.choice((0.0, 0.0, 0.002)),
        faults=Faults(crashes=rng.choice((5, 10)), blackouts=rng.choice((0, 1)), partitions_gap=rng.choice((0.0, 0.3))), core=core,
    )  # fmt: skip


def draw_outage(seed: int, mode: Mode | None = None, replicas: int | None = None) -> Options:
    """Draw the world of outages: syncs take long, and all replicas die at once, again and again."""
    calmer = draw_storm(seed, mode, replicas)
    return attrs.evolve(calmer, sync_seconds=0.02, faults=Faults(crashes=3, blackouts=5))


def draw_schism(seed: int, mode: Mode | None = None, replicas: int | None = None) -> Options:
    """Draw the world of a schism."""
    calmer = draw_storm(seed, mode, replicas)
    return attrs.evolve(calmer, faults=Faults(breaks_gap=0.03), client=attrs.evolve(calmer.client, resend_seconds=0.05))


def draw_skew(seed: int, mode: Mode | None = None, replicas: int | None = None) -> Options:
    """Draw the world of a skew."""
    calmer = draw_storm(seed, mode, replicas)
    rng = random.Random(f"skew {seed}")
    faults = Faults(
        disk_failures=rng.choice((3, 8)), crashes=rng.choice((0, 5)), blackouts=rng.choice((0, 2)), partitions_gap=rng.choice((0.0, 0.1)),
    )  # fmt: skip
    return attrs.evolve(calmer, drift=rng.choice((1.5, 2.0)), faults=faults, snapshot_share=rng.choice((0.0, 0.01)))


def draw_estrangement(seed: int, mode: Mode | None = None, replicas: int | None = None) -> Options:
    """Draw the world of an estrangement."""
    calmer = draw_storm(seed, mode, replicas)
    rng = random.Random(f"estrangement {seed}")
    faults = Faults(partitions_gap=0.15, crashes=rng.choice((0, 0, 3)))
    return attrs.evolve(calmer, drift=2.0, weights=(1, 0, 12, 0), commands=300, keys=rng.choice((2, 4)), faults=faults)


def draw_churn(seed: int, mode: Mode | None = None, replicas: int | None = None) -> Options:
    """Draw the world of churn: members come and go, while leaders die and links break."""
    calmer = draw_storm(seed, mode, replicas)
    rng = random.Random(f"churn {seed}")
    faults = Faults(changes=6, crashes=rng.choice((0, 4, 8)), blackouts=rng.choice((0, 0, 1)), breaks_gap=rng.choice((0.0, 0.05)), partitions_gap=0.3)
    core = attrs.evolve(calmer.core, entries_kept_max=rng.choice((20, 4096)))
    return attrs.evolve(calmer, faults=faults, core=core, snapshot_share=rng.choice((0.0, 0.01)))


def draw_partings(seed: int, mode: Mode | None = None, replicas: int | None = None) -> Options:
    """Draw the world of partings: sessions are closed, with commands on their way or without, and living clients lose theirs."""
    calmer = draw_storm(seed, mode, replicas)
    rng = random.Random(f"partings {seed}")
    client = attrs.evolve(calmer.client, ping_seconds=0.05, lease_seconds=rng.choice((0.1, 0.3)))
    faults = Faults(crashes=rng.choice((0, 3, 8)), blackouts=rng.choice((0, 1, 2)), breaks_gap=rng.choice((0.0, 0.05)), partitions_gap=0.2)
    return attrs.evolve(
        calmer, partings=rng.choice((5, 15)), think_seconds=rng.choice((0.005, 0.02)), client=client, faults=faults,
        core=attrs.evolve(calmer.core, forward_seconds=rng.choice((0.05, 0.3))), snapshot_share=rng.choice((0.0, 0.01)),
        sync_seconds=rng.choice((0.0, 0.002, 0.02)),
    )  # fmt: skip


def draw_lapse(seed: int, mode: Mode | None = None, replicas: int | None = None) -> Options:
    """Draw the world of lapses: clients are silent for longer than leases last, and speak again."""
    calmer = draw_storm(seed, mode, replicas)
    rng = random.Random(f"lapse {seed}")
    client = attrs.evolve(calmer.client, ping_seconds=rng.choice((0.1, 0.4)), lease_seconds=rng.choice((0.05, 0.1)))
    return attrs.evolve(
        calmer, partings=rng.choice((1, 4)), think_seconds=rng.choice((0.05, 0.1)), depth=12, burst=4, weights=(2, 4, 6, 1), client=client,
        faults=Faults(crashes=rng.choice((0, 3)), partitions_gap=rng.choice((0.0, 0.3))), sync_seconds=rng.choice((0.0, 0.002)),
    )  # fmt: skip


def draw_hearsay(seed: int, mode: Mode | None = None, replicas: int | None = None) -> Options:
    """Draw the world of hearsay: sessions ask much at once, and reads follow writes of other keys."""
    calmer = draw_storm(seed, mode, replicas)
    rng = random.Random(f"hearsay {seed}")
    client = attrs.evolve(calmer.client, resend_seconds=0.05, ping_seconds=rng.choice((0.4, 1.0)))
    return attrs.evolve(
        calmer, depth=8, burst=4, weights=(6, 1, 6, 1), commands=200, keys=rng.choice((2, 4)), think_seconds=rng.choice((0.005, 0.02)), client=client,
        faults=Faults(partitions_gap=rng.choice((0.2, 0.4))), sync_seconds=0.0,
    )  # fmt: skip


def draw_succession(seed: int, mode: Mode | None = None, replicas: int | None = None) -> Options:
    """Draw the world of a succession: sessions or members come and go, and leaders hand over."""
    rng = random.Random(f"succession {seed}")
    return rng.choice((draw_partings, draw_lapse, draw_churn, draw_amnesia))(seed, mode, replicas)


def draw_straits(seed: int, mode: Mode | None = None, replicas: int | None = None) -> Options:
    """Draw the world of straits: limits are so small that everything comes in pieces and has to wait, while all kinds of things go wrong."""
    rng = random.Random(f"straits {seed}")
    base = rng.choice((draw_storm, draw_churn, draw_partings))(seed, mode, replicas)
    return attrs.evolve(base, core=narrow(base.core, rng), snapshot_share=rng.choice((0.0, 0.02)))


def draw_amnesia(seed: int, mode: Mode | None = None, replicas: int | None = None) -> Options:
    """Draw the world of amnesia: nothing is durable, and replicas die and come back while members come and go."""
    calmer = draw_storm(seed, mode, replicas)
    rng = random.Random(f"amnesia {seed}")
    faults = Faults(crashes=rng.choice((5, 10, 20)), changes=rng.choice((0, 3, 6)), partitions_gap=0.1, breaks_gap=rng.choice((0.0, 0.1)))
    core = attrs.evolve(calmer.core, durable=False, entries_kept_max=rng.choice((20, 4096)))
    return attrs.evolve(calmer, faults=faults, core=core, sync_seconds=rng.choice((0.0, 0.002)))


def draw_rapids(seed: int, mode: Mode | None = None, replicas: int | None = None) -> Options:
    """Draw the world of rapids: straits in which all goes wrong at once, frames included."""
    rng = random.Random(f"rapids {seed}")
    base = rng.choice((draw_churn, draw_partings, draw_amnesia, draw_amnesia))(seed, mode, replicas)
    durable = base.core.durable  # if not, a causal write is lost when its client dies and its home forgets it
    faults = attrs.evolve(
        base.faults, changes=base.faults.changes or rng.choice((2, 5)), loss=rng.choice((0.0, 0.01, 0.05)), duplication=rng.choice((0.0, 0.05)),
        reordering=rng.choice((0.0, 0.05, 0.5)), deaths=rng.choice((0, 0, 1)) if durable else 0, pauses_gap=rng.choice((0.0, 0.2)),
        clogs_gap=rng.choice((0.0, 0.1)),
    )  # fmt: skip
    return attrs.evolve(base, faults=faults, core=narrow(base.core, rng), snapshot_share=rng.choice((0.0, 0.02)) if durable else 0.0)


def draw_rot(seed: int, mode: Mode | None = None, replicas: int | None = None) -> Options:
    """Draw the world of rot: states are altered by themselves, while replicas crash, stand still and do not hear each other."""
    calmer = draw_storm(seed, mode, replicas)
    rng = random.Random(f"rot {seed}")
    faults = Faults(
        rot=rng.choice((1, 1, 2)) if calmer.replicas > 3 else 1, crashes=rng.choice((0, 0, 3)), partitions_gap=rng.choice((0.0, 0.3)),
        pauses_gap=rng.choice((0.0, 0.2)), breaks_gap=rng.choice((0.0, 0.1)),
    )  # fmt: skip
    return attrs.evolve(
        calmer, faults=faults, keys=rng.choice((4, 16)), guard_seconds=rng.choice((0.01, 0.1)), hash_every=rng.choice((16, 128)),
        hash_keys=rng.choice((1, 5, 1000)), snapshot_share=rng.choice((0.0, 0.01)), encore=60,
    )  # fmt: skip


DURATIONS: dict[Callable[..., Options], tuple[float, ...]] = {
    draw_schism: (0.3, 0.5), draw_skew: (0.05, 0.1, 0.3), draw_estrangement: (0.2, 0.4),
    draw_amnesia: (0.02, 0.1, 0.3),
}  # fmt: skip
"""How long faults last where it matters that they last long, seconds."""


def storm(draw: Callable[..., Options] = draw_storm) -> list[Patch]:
    """Make every world one that ``draw`` draws, with replicas far from each other; no bug."""
    from tests.sim import run as run_module

    join = World._join

    def stretched(self: Any) -> None:
        join(self)
        for (sender, receiver), link in self.network.links.items():
            if sender[0] == receiver[0] == "r":
                way = link.ways[sender]
                way.delays = (way.delays[0] * FAR_FACTOR, way.delays[1] * FAR_FACTOR)

    durations = DURATIONS.get(draw, (0.01, 0.05, 0.1))

    def lasts(self: Any) -> float:
        return float(self.world.rng.choice(durations))

    return [
        (World, "_join", stretched), (faults_module, "LEADER_SHARE", 1.0), (Saboteur, "_duration", lasts), (run_module, "draw", draw),
    ]  # fmt: skip


def outage() -> list[Patch]:
    """Make every world one of outages; no bug."""
    return storm(draw_outage)


def skew() -> list[Patch]:
    """Make every world one of skews; no bug."""
    return storm(draw_skew)


def estrangement() -> list[Patch]:
    """Make every world one of estrangements; no bug."""

    def leave_alone(self: Any) -> None:
        rng, leading = self.world.rng, self.strikes.leading()
        if leading:
            clients = [client.name for client in self.world.clients]
            group = (rng.choice(leading).name, *rng.sample(clients, rng.randint(1, len(clients) - 1)))
            self.strikes.partition(group, inward=True, outward=True, lasts=self._duration)

    return [*storm(draw_estrangement), (Saboteur, "_partition", leave_alone)]


def churn() -> list[Patch]:
    """Make every world one of churn; no bug."""
    return storm(draw_churn)


def partings() -> list[Patch]:
    """Make every world one of partings; no bug."""
    return storm(draw_partings)


def straits() -> list[Patch]:
    """Make every world one of straits; no bug."""
    return [*storm(draw_straits), *LIMITS]


def amnesia() -> list[Patch]:
    """Make every world one of amnesia; no bug."""
    return storm(draw_amnesia)


def rapids() -> list[Patch]:
    """Make every world one of rapids; no bug."""
    return [*storm(draw_rapids), *LIMITS]


def rot() -> list[Patch]:
    """Make every world one of rot; no bug."""
    return storm(draw_rot)


def upheaval() -> list[Patch]:
    """Make every world one of upheavals; no bug."""
    return [*churn(), _strike_when(lambda self: self.core.node.configurations.index)]


def _strike_when(count: Callable[[Any], int]) -> Patch:
    """Strike whoever leads whenever a count of its has grown in a turn."""
    turn = ReplicaActor._turn

    def turn_and_strike(self: Any) -> None:
        before = count(self)
        turn(self)
        leads = self.core.leader is not None
        if leads and count(self) > before and not self.world.calm and self.world.plan is None:  # a plan says itself what strikes
            _strike(self)

    return ReplicaActor, "_turn", turn_and_strike


def _strike(leader: Any) -> None:
    """Kill a leader, cut it off from some of the others, or let it be."""
    world, rng = leader.world, leader.world.rng
    what = rng.choice(("nothing", "kill", "cut off"))
    if what == "kill":
        world.at(world.now + rng.uniform(0.0, STRIKE_SECONDS), lambda: Saboteur(world).crash(leader.name))
    elif what == "cut off":
        others = [actor.name for actor in world.replicas if actor is not leader]
        group = rng.sample(others, rng.randint(1, len(others)))
        world.strikes.cut_off(leader.name, tuple(group), lambda: rng.uniform(0.1, 0.4))


def lapse() -> list[Patch]:
    """Make every world one of lapses; no bug."""

    def ends(self: Any) -> int:
        return 0 if self.core.leader is None else sum(logged.number == CLOSED for logged in self.core.leader.logged.values())

    return [*storm(draw_lapse), (registrar, "LOOK_SECONDS", 0.02), _strike_when(ends)]


def succession() -> list[Patch]:
    """Make every world one of successions; no bug."""
    start = Saboteur.start

    def hand_over(self: Any) -> None:
        for actor in self.strikes.leading():
            self.strikes.hand_over(actor)

    def start_and_hand_over(self: Any) -> None:
        start(self)
        self._plan(self.world.rng.choice((0.05, 0.15, 0.3)), lambda: hand_over(self))

    return [*storm(draw_succession), (registrar, "LOOK_SECONDS", 0.02), (Saboteur, "start", start_and_hand_over)]


def hearsay() -> list[Patch]:
    """Make every world one of hearsay; no bug."""

    def out_of_earshot(self: Any) -> None:
        world, strikes = self.world, self.strikes
        rng, leading = world.rng, strikes.leading()
        clients = tuple(client.name for client in world.clients)
        followers = [actor.name for actor in world.replicas if actor.alive and actor not in leading]
        if not leading or not followers:
            return
        strikes.cut_off(rng.choice(followers), clients, lambda: rng.uniform(0.1, 0.4))

        def die() -> None:
            for actor in world.replicas:
                strikes.cut_off(actor.name, clients, lambda: rng.uniform(0.1, 0.4))
            if leading[0] in strikes.expendable():
                strikes.crash(leading[0].name, lambda: rng.uniform(0.3, 0.6))

        world.at(world.now + rng.uniform(0.01, 0.05), die)

    return [*storm(draw_hearsay), (Saboteur, "_partition", out_of_earshot)]


def schism() -> list[Patch]:
    """Make every world one of schisms; no bug."""

    def between_replicas(self: Any) -> Any:
        links = dict.fromkeys(self.world.network.links.values())
        return self.world.rng.choice([link for link in links if link.a.name[0] == link.b.name[0] == "r"])

    return [*storm(draw_schism), (Saboteur, "_link", between_replicas)]


STORMS: dict[str, Callable[[], list[Patch]]] = {
    "storm": storm, "outage": outage, "schism": schism, "skew": skew, "estrangement": estrangement, "churn": churn, "upheaval": upheaval,
    "partings": partings, "lapse": lapse, "succession": succession, "hearsay": hearsay, "straits": straits,
    "amnesia": amnesia, "rapids": rapids, "rot": rot,
}  # fmt: skip
