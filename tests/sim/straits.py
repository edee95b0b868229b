"""Limits of the cores that a small world never comes near, and what they are in *straits*: so small that everything comes in pieces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

from replica.core import client, early, follower, held_records, leader, log, node, queries, reads, registrar, voter
from statemachine import moment, sessions
from statemachine.store import Store

if TYPE_CHECKING:
    import random

    from replica.core.config import CoreConfig

LIMITS: tuple[tuple[Any, str, object], ...] = (
    (client, "KEEP_ALIVE_AT_ONCE", 1), (registrar, "LOOK_SESSIONS", 1),
    (leader, "ENTRY_COMMANDS_MAX", 3), (leader, "ENTRY_BYTES_MAX", 40), (leader, "WINDOW_ENTRIES_MAX", 3),
    (log, "ENTRIES_PER_ACCEPT_MAX", 2), (log, "COMMANDS_PER_ACCEPT_MAX", 3),
    (follower, "HEARD_MAX", 1), (follower, "FORWARD_COMMANDS_MAX", 2), (follower, "FORWARD_BYTES_MAX", 30),
    (early, "EARLY_RECORDS_MAX", 2), (voter, "LOG_LOOK_ENTRIES", 3), (voter, "LARGE_BYTES", 8),
    (reads, "READS_TOGETHER_MAX", 2), (reads, "LARGE_BYTES", 8), (queries, "ANSWER_BYTES_MAX", 30),
    (node, "FRAME_VALUE_BYTES_MAX", 30), (held_records, "JOINED_BYTES_MAX", 10),
    (moment, "FORGET_MAX", 2), (sessions, "CHUNK_SESSIONS", 2), (sessions, "CHUNK_RESULTS", 2), (Store.snapshot, "__defaults__", (2, 30)),
)  # fmt: skip
"""``(whose, name, how small)``."""


def narrow(core: CoreConfig, rng: random.Random) -> CoreConfig:
    """Draw a configuration whose limits are met again and again."""
    return attrs.evolve(
        core, commands_in_flight_max=rng.choice((4, 4096)), witness_bytes_max=rng.choice((40, 1 << 20)), collect_bytes_max=30, postponed_max=3,
        witness_commands_max=rng.choice((8, 200_000)), reads_waiting_max=rng.choice((4, 100_000)), accept_bytes_max=rng.choice((1, 400)),
        window_bytes_max=rng.choice((400, 2000)), entries_kept_max=rng.choice((3, 20)), snapshot_parts_in_flight_max=rng.choice((1, 2)),
        log_bytes_max=rng.choice((5_000, 50_000)), tombstone_sessions_max=2,
    )  # fmt: skip
