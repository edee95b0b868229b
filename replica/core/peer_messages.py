"""What replicas say to each other: replication, elections, recovery, snapshots; see ``messages``, which holds what clients say and hear."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from attrs import frozen as message

    from replica.core.messages import Record, Value
else:
    message = attrs.define(eq=True)  # as in ``messages``


@message
class Entry:
    """A batch of commands at one index of the log. Positions: ``base + 1 ...`` first for ``system`` (session openings, configuration: lists with
    a ``statemachine.command`` system kind first), then for the commands of the runs in column order."""

    index: int
    view: int
    base: int
    system: list[list[object]]
    sessions: list[int]
    firsts: list[int]
    counts: list[int]
    incomplete: list[int]
    kinds: bytes
    keys: list[bytes]
    values: list[Value]


@message
class Accept:
    """The leader's entries after ``(previous_index, previous_view)``, its commit index, and a running ``round`` that acks echo."""

    config: int
    view: int
    previous_index: int
    previous_view: int
    commit_index: int
    round: int
    entries: list[Entry]


@message
class AcceptAck:
    """All entries up to ``match_index`` are in the sender's log, durable. ``heard``: sessions that spoke to it since its last ack."""

    config: int
    view: int
    match_index: int
    round: int
    heard: list[int]


@message
class AcceptNack:
    """The sender's log does not hold the previous entry of an Accept: resend from after ``hint_index``."""

    config: int
    view: int
    hint_index: int
    round: int


@message
class Forward:
    """Commands held at a follower that the leader's log does not show: their session's link to the leader may be gone."""

    record: Record


@message
class Vote:
    """Asks for a vote in ``view``; the candidate's log ends at ``(last_index, last_view)``. ``trial``: would you (nothing changes)? ``forced``: the
    leader itself asked the candidate to take over, so that its recent heartbeats are no reason to refuse."""

    config: int
    view: int
    last_index: int
    last_view: int
    trial: bool
    forced: bool


@message
class VoteReply:
    """Answers a ``Vote`` for view ``asked``; ``view`` is the voter's own by now."""

    config: int
    view: int
    asked: int
    trial: bool
    granted: bool


@message
class Collect:
    """The winner of ``view`` asks what the receiver's witness holds; who gets it joins the view first. ``round`` numbers the question."""

    config: int
    view: int
    round: int


@message
class WitnessState:
    """What a witness that joined ``view`` holds, in ``parts`` messages of one moment, numbered from 0; answers ``round`` of ``Collect``. The runs
    are the uncommitted commands of each chain; ``levels``: ``[session, committed, accepted, anchored]`` of every chain with one."""

    config: int
    view: int
    round: int
    part: int
    parts: int
    sessions: list[int]
    firsts: list[int]
    counts: list[int]
    incomplete: list[int]
    kinds: bytes
    keys: list[bytes]
    values: list[Value]
    levels: list[list[int]]


@message
class TakeOver:
    """The leader hands its view on: the receiver, whose log is complete, asks for votes at once."""

    config: int
    view: int


@message
class SnapshotPart:
    """Part number ``part``, from 0, of the leader's applied state at the end of entry ``(index, entry_view)``, for a follower that the kept log
    does not reach. The first ``sessions`` parts hold the session table. ``configuration``: at that entry, see ``Configuration.items``.
    ``chunk``: see ``Sessions.snapshot`` and ``Store.snapshot``."""

    config: int
    view: int
    index: int
    entry_view: int
    position: int
    part: int
    sessions: int
    last: bool
    configuration: list[object]
    chunk: list[object]


@message
class SnapshotAck:
    """All parts below ``part`` of the snapshot at ``index`` are here."""

    config: int
    view: int
    index: int
    part: int


@message
class Rejoin:
    """The sender forgot what it acknowledged in views up to ``view``, and may follow in higher ones only: the leader is to open one."""

    config: int
    view: int


@message
class StateHash:
    """The sender's state had this hash at the end of the entry that ends at ``position``; see ``divergence``."""

    position: int
    hash: int


@message
class Contact:
    """Where the sender listens, said once on each link: native protocol, WebSocket, admin, each ``host:port``. For operators: no rule rests on it."""

    addresses: list[bytes]
