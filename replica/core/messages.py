"""Every message of the protocol: one class per section, columns inside.

A frame is a list of sections; a section carries many commands of many sessions as parallel columns, so that one decode, one object, one
dispatch and one encode serve all of them.  Runs (``sessions[i], firsts[i], counts[i]``) lie one after the other in the flat columns
(``kinds``, ``keys``, ``values``, ``queries``): run ``i`` owns the next ``counts[i]`` places.

Nothing here knows tags or bytes (that is ``replica.wire``) and nothing here decides anything.  Sources: CURP (Park & Ousterhout, NSDI'19) for
record, speculate, sync; Raft (Ongaro & Ousterhout, ATC'14) for accept and vote; the session chain is this project's own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from replica.core.peer_messages import (
    Accept,
    AcceptAck,
    AcceptNack,
    Collect,
    Contact,
    Entry,
    Forward,
    Rejoin,
    SnapshotAck,
    SnapshotPart,
    StateHash,
    TakeOver,
    Vote,
    VoteReply,
    WitnessState,
)

if TYPE_CHECKING:
    from attrs import frozen as message
else:
    # Frozen to the type checker (mypy holds us to it), plain slots at run time: attrs' frozen __init__ costs more than decoding the section.
    message = attrs.define(eq=True)

__all__ = [
    "Accept",
    "AcceptAck",
    "AcceptNack",
    "Anchor",
    "AnchorAck",
    "Applied",
    "CausalRead",
    "CausalReadReply",
    "CloseSession",
    "Collect",
    "Contact",
    "Entry",
    "Forward",
    "Home",
    "KeepAlive",
    "Leader",
    "Members",
    "Message",
    "OpenSession",
    "Ping",
    "Pong",
    "Query",
    "ReadIndex",
    "Record",
    "RecordAck",
    "Rejoin",
    "SessionOpened",
    "SnapshotAck",
    "SnapshotPart",
    "SpecReply",
    "StateHash",
    "StrongRead",
    "StrongReadReply",
    "TakeOver",
    "Value",
    "Vote",
    "VoteReply",
    "WitnessState",
]

Query = bytes | list[object]
"""A read: a key, or ``[start, end, limit]`` for a scan (``end`` may be None: to the last key)."""
Value = bytes | None | list[object]
"""A value column's item: a put's bytes, None for a delete, ``[expected, new]`` for a cas; in replies rows of a scan as a list."""


# ---------------------------------------------------------------------------------------------------------------- client -> replica


@message
class OpenSession:
    """Asks for sessions; sent to the leader, logged (one position each), answered when committed. The same token opens the same session."""

    tokens: list[bytes]
    lease_seconds: float


@message
class CloseSession:
    """Ends sessions in the log, each behind its last command in ``lasts``: their results and chains may be forgotten."""

    sessions: list[int]
    lasts: list[int]


@message
class KeepAlive:
    """Says that idle sessions are alive; any replica takes it."""

    sessions: list[int]


@message
class Home:
    """Binds sessions to this replica (``home``) or releases them; said with the first request on a link and when a session moves."""

    sessions: list[int]
    home: bool


@message
class Record:
    """Logged commands: to all voters for the fast path, or to the leader alone (mode ``paxos``; causal writes of ``ht``). ``previous[i]``: the
    session's last command before ``firsts[i]`` that witnesses were sent (``firsts[i] - 1`` unless the mode hides causal writes from them).
    ``incomplete[i]``: every command below it is complete at the client. ``kinds``: one byte a command, with the causal bit."""

    sessions: list[int]
    firsts: list[int]
    counts: list[int]
    previous: list[int]
    incomplete: list[int]
    kinds: bytes
    keys: list[bytes]
    values: list[Value]


@message
class StrongRead:
    """Strong reads, to the leader; ``firsts`` number a session's reads, ``dependencies[i]`` is its last command issued before run ``i``."""

    sessions: list[int]
    firsts: list[int]
    counts: list[int]
    dependencies: list[int]
    queries: list[Query]


@message
class Anchor:
    """With strong reads, to the other voters: confirm the view, and pin the chain up to the dependency. ``reads[i]``: the last read covered."""

    sessions: list[int]
    dependencies: list[int]
    reads: list[int]


@message
class ReadIndex:
    """Strong reads by the long way: the leader takes its last index, confirms its leadership by a round, and answers from applied state."""

    sessions: list[int]
    firsts: list[int]
    counts: list[int]
    dependencies: list[int]
    queries: list[Query]


@message
class CausalRead:
    """Reads at the session's home: applied state at or above ``floors[i]`` (a position)."""

    sessions: list[int]
    firsts: list[int]
    counts: list[int]
    floors: list[int]
    queries: list[Query]


@message
class Ping:
    """Measures the round trip of a link; answered at once, but not by a replica that hears no leader or lags far behind."""

    nonce: int


# ---------------------------------------------------------------------------------------------------------------- replica -> client


@message
class SessionOpened:
    """The sessions of these tokens are open, in the order of the tokens; session 0: refused, too many sessions are open."""

    tokens: list[bytes]
    sessions: list[int]


@message
class RecordAck:
    """A witness' verdicts, cumulative per session: everything up to ``held[i]`` is held here (HELD), and every strong command up to
    ``accepted[i]`` is accepted with its chain (OK) in this view. ``refusals``: ``[session, reason]`` with a ``Refusal``."""

    config: int
    view: int
    sessions: list[int]
    held: list[int]
    accepted: list[int]
    refusals: list[list[int]]


@message
class SpecReply:
    """The leader speculated these commands in this view; ``results``: ``[place in the flat run columns, succeeded]`` of cas only, which tell of
    the leader's applied prefix ``position``: their session's causal past reaches there."""

    config: int
    view: int
    position: int
    sessions: list[int]
    firsts: list[int]
    counts: list[int]
    results: list[list[int]]


@message
class Applied:
    """Everything of the session up to ``upto[i]`` is committed, and applied at the sender, whose applied prefix is ``position`` long. Only a
    leader tells ``results``: ``[session, number, succeeded]`` of cas."""

    config: int
    view: int
    leader: bool
    position: int
    sessions: list[int]
    upto: list[int]
    results: list[list[int]]


@message
class StrongReadReply:
    """The leader's values for strong reads, good with enough confirmations of the same view. ``versions``: 0 where none may be told or exists.
    ``horizon``: below it tombstones were dropped. ``indexed``: leadership was already confirmed by a round (answer to ``ReadIndex``)."""

    config: int
    view: int
    indexed: bool
    horizon: int
    sessions: list[int]
    firsts: list[int]
    counts: list[int]
    values: list[Value]
    versions: list[int]


@message
class AnchorAck:
    """Confirms the view for strong reads up to ``reads[i]``; ``anchored[i]``: the chain is pinned so far here (less where something forbade it)."""

    config: int
    view: int
    sessions: list[int]
    reads: list[int]
    anchored: list[int]


@message
class CausalReadReply:
    """Values out of the applied prefix ``position``; ``applied[i]``: the session's last command applied here. ``lagging``: ``[session, first,
    count]`` of runs whose floor was not reached."""

    position: int
    horizon: int
    sessions: list[int]
    firsts: list[int]
    counts: list[int]
    applied: list[int]
    values: list[Value]
    versions: list[int]
    lagging: list[list[int]]


@message
class Leader:
    """Who leads which view, as far as the sender knows (``leader`` -1: nobody); sent on a change and to who asked the wrong replica."""

    config: int
    view: int
    leader: int


@message
class Members:
    """Who belongs to the cluster: the latest configuration in the sender's log (``Configuration.items``). The word of who leads ``view``
    (``leads``) is what a client counts by; anybody else's, which may never be committed, helps it to find the leader."""

    view: int
    leads: bool
    configuration: list[object]


@message
class Pong:
    """Answers ``Ping``."""

    nonce: int


Message = (
    OpenSession | CloseSession | KeepAlive | Home | Record | StrongRead | Anchor | ReadIndex | CausalRead | Ping
    | SessionOpened | RecordAck | SpecReply | Applied | StrongReadReply | AnchorAck | CausalReadReply | Leader | Members | Pong
    | Accept | AcceptAck | AcceptNack | Forward | Vote | VoteReply | Collect | WitnessState | TakeOver
    | SnapshotPart | SnapshotAck | Rejoin | StateHash | Contact
)  # fmt: skip
