"""The follower: keeps the leader's log, acknowledges it once a turn, and hands on commands the leader seems not to know.

Raft section 5.3: entries are taken only where the previous one matches; a conflict of views truncates, never below the commit index.
"""

from __future__ import annotations

import math
from itertools import islice
from typing import TYPE_CHECKING

import attrs

from replica.core.log import commands_bytes
from replica.core.messages import Accept, AcceptAck, AcceptNack, Forward, Message, Record, Rejoin

if TYPE_CHECKING:
    from replica.core.node import Node
    from replica.core.witness import Chain

HEARD_MAX = 1024
"""Sessions in one ack; the others are told with the next."""
FORWARD_COMMANDS_MAX = 2048
"""Commands in one turn's forwards."""
FORWARD_BYTES_MAX = 4 << 20
"""Bytes of their keys and values (one run is always forwarded whole): they must fit a frame."""


@attrs.define(eq=False)
class Follower:
    """What a replica that does not lead must remember between frames."""

    node: Node
    ack_due: bool = False
    nack_hint: int = -1
    round: int = 0
    match: int = 0
    """The log is the leader's up to here (what lies above may be of an older view)."""
    leader_seen_at: float = -math.inf
    """When the leader of some view last spoke to us, seconds."""
    told_index: int = 0
    """The leader said that the log is committed up to here, when all that it had said before was applied."""
    told_at: float = 0.0
    """When it said so, seconds."""
    forward_at: float = 0.0
    heard: dict[int, None] = attrs.Factory(dict)
    # {session that a client spoke for: the leader is not told yet}

    def new_view(self) -> None:
        """Another leader: only what is committed is certainly in its log."""
        self.match, self.ack_due, self.nack_hint, self.round = self.node.commit_index, False, -1, 0

    def on_heard(self, sessions: list[int]) -> None:
        """Clients spoke for these sessions: the next acks tell the leader, whose clock alone counts leases."""
        chains = self.node.witness.chains
        self.heard.update((session, None) for session in sessions if session in chains)

    def _take_heard(self) -> list[int]:
        told = list(islice(self.heard, HEARD_MAX))
        for session in told:
            del self.heard[session]
        return told

    def on_accept(self, accept: Accept) -> None:
        """Take entries of the view's leader and its commit index."""
        node, log = self.node, self.node.log
        self.round = max(self.round, accept.round)
        self.leader_seen_at = node.now
        if node.applied_index >= self.told_index:
            self.told_index, self.told_at = accept.commit_index, node.now
        previous = accept.previous_index
        if previous >= log.first_index - 1 and log.view_at(previous) != accept.previous_view:
            self.nack_hint = self._before_view_of(previous) if previous <= log.last_index else log.last_index
            return
        self.ack_due = True
        for entry in accept.entries:
            if entry.index <= log.last_index:
                if entry.index < log.first_index or log.view_at(entry.index) == entry.view:
                    continue  # had it already
                node.cut_log(entry.index - 1)
            node.append_entry(entry)
        self.match = max(self.match, accept.entries[-1].index if accept.entries else previous)
        node.commit(max(node.commit_index, min(accept.commit_index, self.match)))

    def keeps_up(self) -> bool:
        """Whether what the leader said to be committed is applied here within the shortest election timeout: not with a disk that stalls."""
        return self.node.applied_index >= self.told_index or self.node.now - self.told_at < self.node.config.election_seconds

    def _before_view_of(self, index: int) -> int:
        """Tell the entry before those of one view that end at ``index``: backing up takes a round trip for each view, not for each entry.

        Raft section 5.3. What is committed here agrees.
        """
        log, view = self.node.log, self.node.log.view_at(index)
        while index > self.node.commit_index and log.view_at(index) == view:
            index -= 1
        return index

    def acks(self) -> list[tuple[int, list[Message]]]:
        """Make this turn's one answer to the leader."""
        node = self.node
        if node.leader < 0 or node.leads or not (self.ack_due or self.nack_hint >= 0) or not node.journal.view_safe:
            return []
        if node.view <= node.forgotten_view:
            self.ack_due, self.nack_hint = False, -1
            return [(node.leader, [Rejoin(node.configuration.number, node.forgotten_view)])]
        answer: Message
        durable = min(self.match, node.journal.durable_index)
        if self.nack_hint >= 0:
            answer = AcceptNack(node.configuration.number, node.view, self.nack_hint, self.round)
        else:
            answer = AcceptAck(node.configuration.number, node.view, durable, self.round, self._take_heard())
        self.ack_due, self.nack_hint = False, -1
        return [(node.leader, [answer])]

    def on_persisted(self, durable_before: int) -> None:
        """More of the log may be on disk, which reached to ``durable_before``: the leader waits for that ack."""
        self.ack_due = self.ack_due or self.node.journal.durable_index > durable_before

    def forwards(self, now: float) -> list[tuple[int, list[Message]]]:
        """Hand on commands held here for long that the leader's log does not show, while the leader is alive and commits.

        Only then: an overloaded or silent leader must not be flooded (docs/protocol.md, "Orphans").
        """
        node = self.node
        wait = node.config.forward_seconds
        if now < self.forward_at:
            return []
        self.forward_at = now + wait  # also when there is nothing to do: the deadline must not stay behind the time
        if node.leader < 0 or now - self.leader_seen_at > wait or node.applied_index < node.commit_index:
            return []
        forwarded: list[Message] = []
        count = size_bytes = 0
        for chain in node.witness.chains.values():
            if chain.runs and chain.held_since + wait <= now and chain.held > chain.committed and not self._logged(chain):
                record, record_bytes = _as_record(chain, FORWARD_BYTES_MAX - size_bytes)
                forwarded.append(Forward(record))
                count += len(record.keys)
                size_bytes += record_bytes
                chain.held_since = now
                if count >= FORWARD_COMMANDS_MAX or size_bytes >= FORWARD_BYTES_MAX:
                    break
        return [(node.leader, forwarded)] if forwarded else []

    def _logged(self, chain: Chain) -> bool:
        """Whether the uncommitted part of the log shows the session (then the leader knows it)."""
        node = self.node
        return any(chain.session in node.log.get(index).sessions for index in range(node.commit_index + 1, node.log.last_index + 1))

    def trim(self) -> None:
        """Forget applied entries beyond a window, in large steps."""
        log, applied, config = self.node.log, self.node.applied_index, self.node.config
        kept, enough = config.entries_kept_max, config.log_bytes_max // 2
        if applied - log.first_index >= 2 * kept or (log.size_bytes > enough and applied > log.first_index):
            log.discard_upto(max(applied - kept, log.first_index) if log.size_bytes <= enough else applied)


def _as_record(chain: Chain, bytes_max: int) -> tuple[Record, int]:
    """Make a record of the chain's first runs, up to the one that reaches ``bytes_max``; the rest is forwarded when they are committed."""
    record = Record([], [], [], [], [], b"", [], [])
    kinds = []
    previous, size_bytes = chain.committed, 0
    for run in chain.runs:
        record.sessions.append(chain.session)
        record.firsts.append(run.first)
        record.counts.append(len(run.keys))
        record.previous.append(previous)
        record.incomplete.append(run.incomplete)
        kinds.append(run.kinds)
        record.keys.extend(run.keys)
        record.values.extend(run.values)
        previous = run.last
        size_bytes += commands_bytes(run.keys, run.values)
        if size_bytes >= bytes_max:
            break
    return attrs.evolve(record, kinds=b"".join(kinds)), size_bytes
