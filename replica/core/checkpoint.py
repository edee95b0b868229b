"""A checkpoint: the journal begun anew beside a snapshot, so that everything older can go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from replica.core.held_records import as_record, join_records
from replica.core.journal import Began, Committed, Levels, Voted

if TYPE_CHECKING:
    from replica.core.journal import JournalRecord
    from replica.core.node import Node


def checkpoint(node: Node) -> list[JournalRecord]:
    """Return records that, laid over a snapshot of the applied state, tell the node as it is now: view and vote, log, commit, chains."""
    records: list[JournalRecord] = [Began(node.applied_index), Voted(node.view, node.voted_for)]
    records += [node.log.get(index) for index in range(node.applied_index + 1, node.log.last_index + 1)]
    records.append(Committed(node.commit_index))
    chains = [chain for chain in node.witness.chains.values() if chain.runs]
    for chain in chains:
        records += [as_record(chain.session, run) for run in chain.runs]
    records.append(Levels([chain.session for chain in chains], [chain.accepted for chain in chains], [chain.anchored for chain in chains]))
    return join_records(records)
