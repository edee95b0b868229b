"""I-GC: what replicas and clients hold stays within its limits, and goes when nobody needs it any more."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from replica.core import early
from replica.core.witness import value_bytes
from statemachine import sessions
from tests.sim.history import Violation

if TYPE_CHECKING:
    from replica.core.client import Client
    from replica.core.reads import StrongReads
    from replica.core.session import Session
    from tests.sim.actors import ClientActor, ReplicaActor


def check_replica(actor: ReplicaActor) -> None:
    """Compare what a replica holds with its limits."""
    core, node = actor.core, actor.core.node
    witness, config = node.witness, node.config
    restored = 2 if actor.lives > 1 else 1  # after a restart it also holds what is committed and not applied again yet
    runs = [run for chain in witness.chains.values() for run in chain.runs]  # an empty witness takes any run whole
    longest, largest = max((len(run.keys) for run in runs), default=0), max((value_bytes(run.values) for run in runs), default=0)
    reads, expired = core.reads, node.sessions.expired
    for what, held, most in (
        ("commands", witness.commands, restored * max(config.witness_commands_max, longest)),
        ("bytes of values", witness.value_bytes, restored * (config.witness_bytes_max + largest)),
        ("strong reads that wait", reads.count if reads is not None else 0, max(config.reads_waiting_max, _longest(reads))),
        (
            "causal reads that wait",
            core.voter.waiting_count,
            max(config.reads_waiting_max, *(len(read.queries) for read in core.voter.waiting), 0),
        ),
        ("postponed requests", len(core.clients.postponed), config.postponed_max),
        ("early records", core.voter.early.count, early.EARLY_RECORDS_MAX),
        ("early commands", core.voter.early.commands, config.witness_commands_max),
        ("early bytes", core.voter.early.bytes, config.witness_bytes_max),
        ("ended sessions", len(expired), config.tombstone_sessions_max),
        ("open sessions", len(node.sessions), config.sessions_max),
        ("outcomes of a session", max((len(record.results) for record in node.sessions.table.values()), default=0), _results_max()),
    ):
        if held > most:
            raise Violation(f"I-GC: {actor.name} holds {held} {what}, {most} at most are allowed")
    for sid, held_chain in witness.chains.items():
        if held_chain.runs and held_chain.runs[0].last <= held_chain.committed:
            raise Violation(f"I-GC: {actor.name} holds what is committed: {held_chain.runs[0]} of session {sid}")


def _longest(reads: StrongReads | None) -> int:
    """Return the length of the longest run that waits: one is taken whole."""
    if reads is None:
        return 0
    runs = [*chain.from_iterable(reads.parked.values()), *(item.reads for item in reads.indexed)]
    awaiting = [queries for items in reads.awaiting.values() for *_, queries in items]
    return max([*(len(run.queries) for run in runs), *map(len, awaiting)], default=0)


def _results_max() -> int:
    return sessions.RESULTS_MAX + sessions.RESULTS_STEP


def check_client(actor: ClientActor) -> None:
    """See that a client has let go of what is over."""
    client = next((program.session.client for program in actor.programs if program.session is not None), None)
    for session in client.sessions.values() if client is not None else ():
        left = _left_behind(session, session.client)
        if left:
            raise Violation(f"I-GC: client {actor.index} keeps {left} of session {session.id}, which has {session.number} commands")


def _left_behind(session: Session, client: Client) -> str:
    """Say what a session holds that nobody can ask for any more; empty when there is nothing."""
    if session.lost:
        return f"itself though it ended ({session.lost})"
    first = session.log[0] if session.log else None
    if first is not None and first.done == first.run.last <= session.committed:
        return f"the completed {first.run}"
    own = session.own
    if own.order and own.order[0][0] <= session.applied_home:
        return f"the own write {own.order[0]}, applied at home up to {session.applied_home}"
    if len(own.newest) > len(own.order) or ((own.order or own.unsure) and not client.causal_mode):
        return f"own writes {own.newest} out of {len(own.order)}"
    old = [number for number in chain(session.results, session.speculated, *own.unsure.values()) if number <= session.strong_done]
    if old:
        return f"outcomes of {old}, complete up to {session.strong_done}"
    between_turns = session.id not in client.touched  # else a turn has yet to end, and lets go of what was answered in it
    if between_turns and not session.late_reads.keys() <= session.causal_reads.keys():
        return f"late reads {list(session.late_reads)} that nobody waits for"
    return ""
