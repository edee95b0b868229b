"""Messages, completions and states in words, short enough to be read in a transcript."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from replica.core import messages as m
from replica.core.configuration import Configuration
from replica.core.flights import Completion, CompletionKind
from replica.core.members import FIRST
from replica.core.node import REFUSALS
from statemachine.command import CAS_VALUE, CAS_VERSION, CAUSAL, CLOSE, CONFIG, DELETE, EXPIRE, NOOP, OPEN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from replica.core.client import Client
    from replica.core.messages import Message, Query, Value
    from replica.core.replica import Replica
    from replica.core.session import Session

QUIET = (m.Ping, m.Pong, m.KeepAlive, m.Leader)
"""Told in no transcript: they come and go all the time."""


def text(value: object) -> str:
    """Return a value as a person would write it; ``-`` for none."""
    match value:
        case bytes():
            return value.decode()
        case [list(rows), more]:
            page = " ".join(f"{text(key)}={text(item)}" for key, item, _ in rows)
            return f"[{page}{' ...' if more else ''}]"
        case None:
            return "-"
        case bool():
            return "succeeded" if value else "failed"
        case _:
            return str(value)


def numbers(first: int, count: int) -> str:
    """Return a range of command numbers."""
    return f"#{first}" if count == 1 else f"#{first}-{first + count - 1}"


def command(kind: int, key: bytes, value: Value) -> str:
    """Return one command."""
    name = "causal " if kind & CAUSAL else ""
    plain = kind & ~CAUSAL
    if plain in {CAS_VALUE, CAS_VERSION}:
        assert isinstance(value, list)
        at = "@" if plain == CAS_VERSION else ""
        return f"{name}cas {text(key)} {at}{text(value[0])} to {text(value[1])}"
    return f"{name}delete {text(key)}" if plain == DELETE else f"{name}put {text(key)}={text(value)}"


def queries(items: Sequence[Query]) -> str:
    """Return a column of queries."""
    return " ".join(text(item) if isinstance(item, bytes) else f"[{text(item[0])},{text(item[1])}) {item[2]}" for item in items)


def members(items: list[Any]) -> str:
    """Return a configuration; of a cluster's first one only that it is one."""
    told = Configuration.from_items(items)
    if told.number == FIRST:
        return "config"
    learners = [f"learning {_names(told.learners)}"] if told.learners else []
    return " ".join([f"config {told.number} of", _names(told.voters), *learners, *(f"for r{voter}" for _, voter in told.replacing)])


def _names(replicas: Iterable[int]) -> str:
    return " ".join(f"r{replica}" for replica in replicas)


class Describer:
    """Words for what a cluster says; knows its sessions by the names a story gave them."""

    def __init__(self, names: dict[int, str]) -> None:
        self.names = names

    def name(self, session: int) -> str:
        """Return a session's name."""
        return self.names.get(session, f"session {session}")

    def frame(self, frame: Iterable[Message]) -> str:
        """Return a frame in words; empty if all of it is quiet."""
        return "; ".join(self.message(message) for message in frame if not isinstance(message, QUIET))

    def message(self, message: Message) -> str:
        """Return one section in words."""
        words = getattr(self, re.sub(r"(?=[A-Z])", "_", type(message).__name__).lower(), None)
        body = words(message) if words else ""
        view = getattr(message, "view", 1)
        return f"{type(message).__name__} {body}".rstrip() + (f" (view {view})" if view != 1 else "")

    def _each(self, sessions: Sequence[int], one: Callable[[int, str], str]) -> str:
        return ", ".join(one(place, self.name(session)) for place, session in enumerate(sessions))

    def _runs(self, message: Any, flat: Callable[[int, int], str]) -> str:
        found, end = [], 0
        for session, first, count in zip(message.sessions, message.firsts, message.counts, strict=True):
            start, end = end, end + count
            found.append(f"{self.name(session)} {numbers(first, count)}{flat(start, end)}")
        return ", ".join(found)

    def _open_session(self, message: m.OpenSession) -> str:
        return f"{len(message.tokens)}"

    def _close_session(self, message: m.CloseSession) -> str:
        return self._each(message.sessions, lambda _, name: name)

    def _session_opened(self, message: m.SessionOpened) -> str:
        return ", ".join(str(session) if session else "refused" for session in message.sessions)

    def _home(self, message: m.Home) -> str:
        return self._each(message.sessions, lambda _, name: f"{name} {'yes' if message.home else 'no'}")

    def _record(self, message: m.Record) -> str:
        rows = list(zip(message.kinds, message.keys, message.values, strict=True))
        words = self._runs(message, lambda start, end: " " + ", ".join(command(*row) for row in rows[start:end]))
        hidden = any(previous != first - 1 for previous, first in zip(message.previous, message.firsts, strict=True))
        return words + (f" (behind {', '.join(f'#{previous}' for previous in message.previous)})" if hidden else "")

    def _forward(self, message: m.Forward) -> str:
        return self._record(message.record)

    def _record_ack(self, message: m.RecordAck) -> str:
        verdicts = self._each(message.sessions, lambda place, name: f"{name} held {message.held[place]} accepted {message.accepted[place]}")
        refusals = [f"{self.name(session)} {REFUSALS[reason].upper()}" for session, reason in message.refusals]
        return ", ".join([verdicts, *refusals] if verdicts else refusals)

    def _spec_reply(self, message: m.SpecReply) -> str:
        results = {place: bool(succeeded) for place, succeeded in message.results}
        return self._runs(message, lambda start, end: "".join(f" {text(results[place])}" for place in range(start, end) if place in results))

    def _applied(self, message: m.Applied) -> str:
        words = self._each(message.sessions, lambda place, name: f"{name} up to #{message.upto[place]}")
        results = [f"{self.name(session)} #{number} {text(bool(succeeded))}" for session, number, succeeded in message.results]
        return ", ".join([words, *results]) + f" at {message.position}"

    def _strong_read(self, message: m.StrongRead | m.ReadIndex) -> str:
        behind = [f" behind #{dependency}" for dependency in message.dependencies]
        return "; ".join(f"{self.name(s)} {queries(message.queries)}{b}" for s, b in zip(message.sessions, behind, strict=True))

    _read_index = _strong_read

    def _anchor(self, message: m.Anchor) -> str:
        return self._each(message.sessions, lambda place, name: f"{name} #{message.dependencies[place]}")

    def _anchor_ack(self, message: m.AnchorAck) -> str:
        return self._each(message.sessions, lambda place, name: f"{name} anchored {message.anchored[place]}")

    def _causal_read(self, message: m.CausalRead) -> str:
        return self._each(message.sessions, lambda place, name: f"{name} {queries(message.queries)} from {message.floors[place]} on")

    def _answers(self, message: m.StrongReadReply | m.CausalReadReply) -> str:
        answers = [text(value) + (f"@{version}" if version else "") for value, version in zip(message.values, message.versions, strict=True)]
        return self._each(message.sessions, lambda _, name: name) + " " + " ".join(answers)

    def _strong_read_reply(self, message: m.StrongReadReply) -> str:
        return self._answers(message) + (" indexed" if message.indexed else "")

    def _causal_read_reply(self, message: m.CausalReadReply) -> str:
        if message.lagging:
            return "lagging: " + ", ".join(self.name(session) for session, _, _ in message.lagging)
        return self._answers(message) + f" at {message.position}, applied " + ", ".join(f"#{number}" for number in message.applied)

    def _accept(self, message: m.Accept) -> str:
        entries = " ".join(self.entry(entry) for entry in message.entries)
        return f"{entries or 'nothing'}, commit {message.commit_index}"

    def _accept_ack(self, message: m.AcceptAck) -> str:
        return f"{message.match_index}"

    def _accept_nack(self, message: m.AcceptNack) -> str:
        return f"go on behind {message.hint_index}"

    def _vote(self, message: m.Vote) -> str:
        how = "trial, " if message.trial else "forced, " if message.forced else ""
        return f"{how}log up to {message.last_index} of view {message.last_view}"

    def _vote_reply(self, message: m.VoteReply) -> str:
        trial = "trial, " if message.trial else ""
        return f"{trial}{'granted' if message.granted else 'refused'} for view {message.asked}"

    def _members(self, message: m.Members) -> str:
        return f"{members(message.configuration)}, says {'the leader' if message.leads else 'a follower'}"

    def _witness_state(self, message: m.WitnessState) -> str:
        part = f"part {message.part + 1} of {message.parts}: " if message.parts > 1 else ""
        held = self._runs(message, lambda _start, _end: "")
        levels = [f"{self.name(session)} anchored {anchored}" for session, _, _, anchored in message.levels]
        return part + (", ".join([held, *levels]) if held or levels else "nothing")

    def entry(self, entry: m.Entry) -> str:
        """Return an entry of the log in words."""
        system = {OPEN: "open", CLOSE: "close", EXPIRE: "expire", NOOP: "noop"}
        parts = [members(item[2:]) if item[0] == CONFIG else system[int(str(item[0]))] for item in entry.system]
        parts += [f"{self.name(s)} {numbers(f, c)}" for s, f, c in zip(entry.sessions, entry.firsts, entry.counts, strict=True)]
        return f"{entry.index}:[{', '.join(parts)}]"

    # ------------------------------------------------------------------------------------------------------- completions and states

    def completion(self, completion: Completion) -> str:
        """Return a completion in words."""
        what = f"{self.name(completion.session.id)} {completion.handle}"
        match completion.kind:
            case CompletionKind.FAILED:
                return f"{what}: failed, {completion.reason}"
            case CompletionKind.READ:
                values, versions = completion.values or [], completion.versions or []
                return f"{what}: " + " ".join(text(v) + (f"@{n}" if n else "") for v, n in zip(values, versions, strict=True))
            case CompletionKind.RECORDED:
                outcome = " ".join(text(value) for value in completion.values or [] if value is not None) or "done"
                return f"{what}: {outcome}" + (", fast" if completion.fast else "")
            case CompletionKind.FLUSHED:
                return f"{what}: flushed"
            case CompletionKind.OPENED:
                return f"{what}: open"

    def replica(self, replica: Replica) -> list[str]:
        """Return a replica's log, state and chains in words."""
        node = replica.node
        log = " ".join(self.entry(entry) for entry in node.log.entries)
        entries = {key: node.store.get_entry(key) for key in sorted(node.store.entries)}
        state = " ".join(f"{text(key)}={text(value)}@{version}" for key, (value, version) in entries.items() if value is not None)
        chains = [
            f"{self.name(chain.session)}: committed {chain.committed}, anchored {chain.anchored}, accepted {chain.accepted}, held {chain.held}"
            for chain in node.witness.chains.values()
        ]
        role = [f"{replica.roles.name} in view {node.view}" + (f" of r{node.leader}" if node.leader >= 0 else "")] if node.view > 1 else []
        return [*role, f"log {log or 'empty'}", f"applied {node.applied_index} at {node.applied_position}: {state or 'nothing'}", *chains]

    def client(self, client: Client) -> list[str]:
        """Return by whom a client counts."""
        told = client.members
        leader = f"r{client.leader}" if client.leader >= 0 else "nobody it knows"
        return [f"counts by configuration {told.configuration}: {_names(told.voters)}; view {client.view} is led by {leader}"]

    def session(self, session: Session) -> list[str]:
        """Return a session in words."""
        state = f"home r{session.home}, floor {session.floor}, committed {session.committed}, in flight {session.in_flight}"
        return [f"{self.name(session.id)}: {state}"]
