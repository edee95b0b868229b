"""States of a replica in which it may be asked to stop, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replica.core.election import Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from replica.server import Server

STATES: dict[str, Callable[[Server], bool]] = {
    "leading": lambda server: server.core.leader is not None and server.core.leader.serving,
    "following": lambda server: not server.core.node.leads,
    "electing": lambda server: server.core.election.stage is not Stage.NONE,
    "recovering": lambda server: server.core.recovery is not None,
    "holding commands": lambda server: bool(server.core.node.witness.commands),
    "installing": lambda server: server.persistence._installing,
    "snapshotting": lambda server: server.persistence._snapshots.locked(),
    "syncing": lambda server: server.persistence._job is not None,
}
"""{state: whether a replica is in it}"""
