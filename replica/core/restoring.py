"""A replica that comes back: what its disk told becomes its state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replica.core.configuration import Configurations
from replica.core.log import Log
from statemachine.command import CLOSE, EXPIRE

if TYPE_CHECKING:
    from replica.core.journal import Durable
    from replica.core.node import Node


def restore(node: Node, durable: Durable) -> None:
    """Begin with what the disk holds: the snapshot, the log above it, the view and the vote, and what the witness had promised."""
    voted = durable.voted
    node.view, node.voted_for, node.leader = max(voted.view, node.config.view), voted.voted_for, -1
    if durable.forgotten:
        node.forgotten_view = node.view
    if durable.applied is not None:
        applied = durable.applied
        node.store, node.sessions = applied.store, applied.sessions
        node.applied_index = node.commit_index = applied.index
        node.applied_position = applied.position
        node.log = Log(first_index=applied.index + 1, before_view=applied.view, before_position=applied.position)
        if applied.configuration is not None:
            node.configurations = Configurations([(applied.index, applied.configuration)])
    for entry in durable.entries:
        node.log.append(entry)
    node.configurations.add_all(durable.entries)
    node.configuration = node.configurations.latest
    node.commit_index = min(max(node.commit_index, durable.committed), node.log.last_index)
    node.journal.durable_index = node.log.last_index
    for session, record in node.sessions.table.items():
        node.witness.open(session).raise_to(record.applied)
    done, ended = _committed_numbers(node), _ended_sessions(node)
    for session, held in durable.chains.items():
        if session in ended or (session not in node.witness.chains and session <= node.applied_position):
            continue  # it ended: what others were given of its keys since is theirs
        chain = node.witness.chains.get(session) or node.witness.open(session)
        node.witness.restore(chain, held.runs, held.accepted, held.anchored, done.get(session, chain.committed))
    node.witness.retry_all(node.promoted)
    node.flush_promotions()  # a verdict is on disk before it is told, also one that is new because others' commands are committed


def _committed_numbers(node: Node) -> dict[int, int]:
    """Tell the last number of each session that is known to be committed and not applied yet."""
    done: dict[int, int] = {}
    for index in range(node.applied_index + 1, node.commit_index + 1):
        entry = node.log.get(index)
        for session, first, count in zip(entry.sessions, entry.firsts, entry.counts, strict=True):
            done[session] = first + count - 1
    return done


def _ended_sessions(node: Node) -> set[object]:
    """Tell the sessions whose ends are known to be committed and not applied yet.

    They had ended for the witness too before it gave their keys to others: it was applied in a life before, and ``Committed`` is on disk with that.
    """
    entries = (node.log.get(index) for index in range(node.applied_index + 1, node.commit_index + 1))
    return {command[1] for entry in entries for command in entry.system if command[0] in {CLOSE, EXPIRE}}
