"""What the core must be told before it starts: who votes, in which mode, and its limits."""

from __future__ import annotations

from typing import Literal

import attrs

Mode = Literal["paxos", "curp", "ht", "ho"]
MODES: tuple[Mode, ...] = ("paxos", "curp", "ht", "ho")


@attrs.frozen
class CoreConfig:
    """One replica's settings. Times in seconds, sizes in bytes or commands; each limit says what happens there."""

    id: int
    voters: tuple[int, ...]
    mode: Mode = "ho"
    """Of the cluster's first configuration; what the log tells counts more (``configuration``)."""
    joins: bool = False
    """A new replica that was added to a running cluster: it knows no configuration until a leader tells it."""
    view: int = 1
    leader: int = 0
    """Who leads the first view of a new cluster: appointed, so that it need not begin with an election. Who comes back never is."""
    durable: bool = False
    """Everything acknowledged is on disk (``disk``); else views and votes only (``memory``)."""
    heartbeat_seconds: float = 0.2
    election_seconds: float = 1.0
    """A follower that hears nothing of a leader for this long, and up to twice this long by chance, asks for votes; a leader that hears no
    majority for twice this long steps down. Must be several heartbeats, and much longer than any turn; infinite: never."""
    commit_flush_seconds: float = 0.002
    """An idle leader tells its followers a new commit index after this long; a busy one tells it with the next entries."""
    note_seconds: float = 0.001
    """A home that has nothing else to say tells its sessions what it applied after this long."""
    read_wait_seconds: float = 0.1
    """A causal read whose floor is not applied here waits this long before it is answered ``lagging``."""
    forward_seconds: float = 0.3
    """A follower forwards held commands that the log has not shown for this long."""
    commands_in_flight_max: int = 4096
    """Uncommitted commands of one session; at the limit new ones are answered BUSY."""
    witness_bytes_max: int = 256 << 20
    """Bytes of the values that a witness holds; likewise."""
    witness_commands_max: int = 200_000
    """Uncommitted commands held; at the limit new ones are answered BUSY."""
    sessions_max: int = 20_000
    """Open sessions; at the limit opening one is refused."""
    reads_waiting_max: int = 100_000
    """Reads waiting for a commit; at the limit they are dropped and the client falls back."""
    log_bytes_max: int = 256 << 20
    """Uncommitted and unacknowledged entries kept; at the limit new commands are answered BUSY, and slow followers are left behind."""
    collect_bytes_max: int = 1 << 20
    """Commands in one frame of a witness' state."""
    postponed_max: int = 4096
    """Requests that wait until a new leader has recovered; at the limit they are dropped and the client sends again."""
    entries_kept_max: int = 4096
    """Applied entries that a follower keeps: a later leader may have to send them on. Who lags further behind gets a snapshot."""
    snapshot_parts_in_flight_max: int = 8
    """Parts of a snapshot sent to a follower beyond what it acknowledged."""
    snapshot_part_seconds: float = 0.008
    """After as many parts as may be in flight, a follower gets one of its snapshot this often: making and taking them must leave commands their
    turns. A part holds 1,024 keys or 1 MiB."""
    accept_bytes_max: int = 1 << 20
    """Entries in one frame to a follower that catches up."""
    window_bytes_max: int = 8 << 20
    """Entries sent to a follower beyond what it acknowledged."""
    tombstone_sessions_max: int = 10_000
    """Ended sessions remembered, the same on every replica; clients of those forgotten learn that nothing is known of them."""
