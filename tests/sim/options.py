"""What one run is like: drawn by its seed, so that every seed tries another kind of world (swarm testing, Groce et al., ISSTA'12)."""

from __future__ import annotations

import random

import attrs

from replica.core.client import ClientConfig
from replica.core.config import MODES, CoreConfig, Mode

DURABLE_SHARE = 0.6
"""Worlds whose replicas have disks."""
CLOCKS_SALT = 45
DISKS_SALT = 66
"""Which worlds have clocks that are wrong, and disks that fail: none of those whose seeds are recorded for planted bugs, which stay as they were."""
COMMANDS_MIN = 600
"""Of all sessions together."""


@attrs.frozen
class Faults:
    """What goes wrong, and how often. Shares are of frames; gaps are mean seconds between two faults of a kind, 0 for never."""

    loss: float = 0.0
    duplication: float = 0.0
    reordering: float = 0.0
    """Frames that do not wait for the ones before them on their link."""
    breaks_gap: float = 0.0
    """Links go down and come up again."""
    partitions_gap: float = 0.0
    """Frames between two groups vanish, in both directions or in one."""
    clogs_gap: float = 0.0
    """A link gets slow for a while."""
    pauses_gap: float = 0.0
    """A replica stands still for a while and then handles all it got."""
    crashes: int = 0
    """Replicas that die and come back, with what their disks hold; where those hold votes only, most stay alive."""
    blackouts: int = 0
    """All replicas die at once, and come back: with a disk only."""
    deaths: int = 0
    """Client processes that die for good."""
    changes: int = 0
    """Times somebody asks for a change of the members; so many replicas stand by to join."""
    disk_failures: int = 0
    """Disks that fail, once or for a while: the process ends, and has acknowledged nothing of what they did not take."""
    rot: int = 0
    """Replicas whose state is altered: fewer than half."""
    succession: bool = False
    """Who leads hands over, where nothing else has made another replica lead by half of the time."""


@attrs.frozen
class Options:
    """One world."""

    seed: int
    mode: Mode
    replicas: int
    clients: int = 1
    sessions: int = 2
    """Sessions of each client."""
    keys: int = 3
    commands: int = 100
    """Commands of each session, about."""
    waves: int = 1
    """A session's commands come in so many bursts of activity, spread over the time in which faults strike."""
    depth: int = 8
    """Commands in flight of each session, at most."""
    burst: int = 3
    """Commands in one submission, at most."""
    weights: tuple[int, int, int, int] | None = None
    """Strong commands, causal writes, strong reads, causal reads of every session; None: each session draws its own."""
    think_seconds: float = 0.002
    """Mean pause between two submissions of a session."""
    delays: tuple[float, float] = (0.0005, 0.002)
    """One-way delay of a frame, seconds: each link draws its own range within."""
    turn_seconds: float = 0.0
    """A turn gathers what comes in this time, at most."""
    apply_commands: int = 1 << 30
    """Budget of one turn's apply step, at most."""
    sync_seconds: float = 0.0
    """A sync takes this long, at most; 0: it is part of the turn."""
    snapshot_share: float = 0.0
    """Turns after which a replica with a disk replaces its journal by a snapshot."""
    snapshot_seconds: float = 0.0
    """A leader's snapshot is on disk this long after it replaced a follower's state."""
    apply_seconds: float = 0.0
    """What is left over a turn's budget is applied after this long, at most."""
    guard_seconds: float = 0.0
    """Replicas compare their states this often; 0: never."""
    hash_every: int = 16
    """Positions between two hashes of a small state."""
    hash_keys: int = 1000
    """Keys that a guard hashes at a time."""
    partings: int = 0
    """Times a program closes its session, with or without commands on their way, and opens another one."""
    drift: float = 1.0
    """Replicas' clocks begin anywhere and run between so many times as slowly and as fast while faults strike; 1: they are right."""
    encore: int = 0
    """Strong puts of each session at the end, in calm and without a pause, first with conflicts, then without: the fast path must be back."""
    faults: Faults = Faults()
    fault_seconds: float = 2.0
    """How long faults strike."""
    core: CoreConfig = attrs.field(factory=lambda: CoreConfig(id=0, voters=(0, 1, 2)))
    """All replicas' settings; id and voters are each one's own."""
    client: ClientConfig = attrs.field(factory=lambda: ClientConfig(voters=(0, 1, 2)))

    @property
    def voters(self) -> tuple[int, ...]:
        """The replicas' ids."""
        return tuple(range(self.replicas))

    @property
    def joiners(self) -> tuple[int, ...]:
        """Ids of the replicas that stand by to join."""
        return tuple(range(self.replicas, self.replicas + self.faults.changes))

    @property
    def command_line(self) -> str:
        """What replays this run."""
        return f"python -m tests.sim --seed {self.seed} --mode {self.mode} --replicas {self.replicas}"


def draw(seed: int, mode: Mode | None = None, replicas: int | None = None) -> Options:
    """Draw the world of a seed.

    Args:
        seed: decides everything that is not given.
        mode: None: the seed's turn in the rotation over all modes.
        replicas: how many vote at first; None: likewise, 3 or 5.
    """
    rng = random.Random(f"options {seed}")
    mode = mode or MODES[seed % len(MODES)]
    replicas = replicas or (3, 5)[seed // len(MODES) % 2]
    quick = rng.choice((0.0001, 0.0005, 0.002))
    durable = rng.random() < DURABLE_SHARE
    faults = draw_faults(rng, durable=durable)
    faults = attrs.evolve(
        faults, changes=draw_changes(seed, faults, durable=durable), succession=True, disk_failures=draw_disk_failures(seed, durable=durable)
    )
    core = CoreConfig(
        id=0, voters=tuple(range(replicas)), mode=mode, durable=durable,
        heartbeat_seconds=rng.choice((0.02, 0.05)),
        election_seconds=rng.choice((0.1, 0.2, 0.4)),
        commit_flush_seconds=rng.choice((0.0, 0.002, 0.02)),
        note_seconds=rng.choice((0.0, 0.001, 0.01)),
        read_wait_seconds=rng.choice((0.005, 0.1)),
        forward_seconds=rng.choice((0.05, 0.3)),
        entries_kept_max=rng.choice((4096, 20)), log_bytes_max=rng.choice((256 << 20, 256 << 20, 50_000)),
        witness_commands_max=rng.choice((200_000, 200_000, 200_000, 20)),
        reads_waiting_max=rng.choice((100_000, 100_000, 4)),
    )  # fmt: skip
    client = ClientConfig(
        voters=core.voters, mode=mode, resend_seconds=rng.choice((0.05, 0.25)), refused_seconds=rng.choice((0.005, 0.02)),
        ping_seconds=rng.choice((0.1, 1.0)),
    )  # fmt: skip
    clients, sessions = rng.randint(1, 3), rng.randint(1, 4)
    partings, leases = draw_ends(seed)
    if partings:
        client = attrs.evolve(client, lease_seconds=leases * client.ping_seconds)
    guard_rng = random.Random(f"guard {seed}")
    return Options(
        seed=seed, mode=mode, replicas=replicas, clients=clients, sessions=sessions, waves=random.Random(f"waves {seed}").choice((1, 5, 12, 30)),
        keys=rng.randint(1, 5), commands=max(rng.randint(60, 220), COMMANDS_MIN // (clients * sessions)),
        depth=rng.choice((1, 2, 4, 8, 15, 15)), burst=rng.choice((1, 2, 5)), think_seconds=rng.choice((0.0, 0.5, 2.0, 5.0)) * quick,
        delays=(quick, quick * rng.choice((1, 2, 10))), turn_seconds=rng.choice((0.0, 0.2, 1.0)) * quick,
        snapshot_share=rng.choice((0.0, 0.002, 0.02)), snapshot_seconds=rng.choice((0.0, 5.0, 50.0)) * quick,
        sync_seconds=rng.choice((0.0, 1.0, 10.0)) * quick if durable else 0.0,
        apply_commands=rng.choice((1 << 30, 8, 2)), apply_seconds=rng.choice((0.0, 1.0, 20.0)) * quick,
        encore=rng.choice((0, 120)), faults=faults, partings=partings, drift=draw_drift(seed),
        guard_seconds=guard_rng.choice((0.0, 0.02)), hash_every=guard_rng.choice((16, 64)), hash_keys=guard_rng.choice((1, 5, 1000)),
        fault_seconds=rng.choice((0.5, 2.0)), core=core, client=client,
    )  # fmt: skip


def draw_faults(rng: random.Random, *, durable: bool) -> Faults:
    """Draw which faults a world has; a quarter of all worlds has links that keep what they promise."""
    rough = rng.random() < 0.75
    return Faults(
        loss=rng.choice((0.0, 0.0, 0.005, 0.05)) if rough else 0.0,
        duplication=rng.choice((0.0, 0.0, 0.02, 0.1)) if rough else 0.0,
        reordering=rng.choice((0.0, 0.0, 0.05, 0.5)) if rough else 0.0,
        breaks_gap=rng.choice((0.0, 0.05, 0.3)),
        partitions_gap=rng.choice((0.0, 0.0, 0.2, 0.5)),
        clogs_gap=rng.choice((0.0, 0.2)),
        pauses_gap=rng.choice((0.0, 0.0, 0.1, 0.5)),
        crashes=rng.choice((0, 1, 3, 6)),
        blackouts=rng.choice((0, 0, 1, 2)) if durable else 0,
        deaths=rng.choice((0, 0, 0, 0, 1)),
    )


def draw_changes(seed: int, faults: Faults, *, durable: bool) -> int:
    """Draw how often members change: in a quarter of the worlds, and where nobody forgets what it acknowledged meanwhile."""
    rng = random.Random(f"changes {seed}")
    steady = durable or not faults.crashes
    return rng.choice((0, 0, 0, 3)) if steady else 0


def draw_ends(seed: int) -> tuple[int, int]:
    """Draw how often a program closes its session, in two fifths of the worlds, and how many pings a lease lasts there: few are so few that living
    clients lose theirs."""
    rng = random.Random(f"partings {seed}")
    return rng.choice((0, 0, 0, 1, 4)), rng.choice((3, 8))


def draw_disk_failures(seed: int, *, durable: bool) -> int:
    """Draw how many disks fail: in two fifths of the worlds that have any."""
    rng = random.Random(f"disks {DISKS_SALT} {seed}")
    return rng.choice((0, 0, 0, 1, 3)) if durable else 0


def draw_drift(seed: int) -> float:
    """Draw how wrong clocks are: a quarter of the worlds has clocks that are."""
    rng = random.Random(f"clocks {CLOCKS_SALT} {seed}")
    return rng.choice((1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.1, 2.0))
