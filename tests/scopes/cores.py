"""Real cores, one step at a time, each step computed once.

A core's step depends on nothing but the core, the event and the time.  So cores and frames are numbered by their canonical forms (``freeze``), and
what a numbered core does with an event is remembered: a state of the world is a few numbers, and most of a search looks steps up.  That equal forms
act alike is an assumption; with ``doubtful`` a second core of the same form that came about otherwise makes each step too, and must do the same.
"""

from __future__ import annotations

import pickle
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import attrs

from replica.core.client import Client, ClientConfig
from replica.core.config import CoreConfig
from replica.core.effects import LinkDown, LinkUp, Persisted, Received
from replica.core.flights import CompletionKind
from replica.core.freezing import freeze
from replica.core.journal import Durable
from replica.core.replica import Replica
from statemachine.command import CAUSAL, PUT

if TYPE_CHECKING:
    from replica.core.messages import Message
    from tests.scopes.scope import Scope

NEVER = 1e9
REPLICAS = 3
Event = tuple[Any, ...]
"""``("frame", source, link's life, number of the frame)``, ``("elect",)``, ``("down", place)``, ``("up", place, link's life)``, ``("open",)``,
``("invoke", operation)``, ``("time",)``, ``("crash",)``, ``("restart",)``; places are 0, 1, 2 for replicas and 3, 4 for clients."""


@attrs.frozen(eq=False)
class Seen:
    """What a judge looks at of a replica that runs."""

    view: int
    leads: bool
    """It has the leader's part."""
    named: bool
    """It takes itself for the leader."""
    serving: bool
    commit: int
    first: int
    """Index of the first entry of the log."""
    entries: tuple[int, ...]
    """The log: numbers of its entries."""
    views: tuple[int, ...]
    """Their views."""
    chains: dict[int, tuple[int, int, int]]
    # {session: up to where it is (accepted, committed, held)}
    held: int
    applied: dict[int, int]
    # {session: its last command in the state machine}
    asked: bool
    """Reads wait for its authority to be confirmed."""
    reach: tuple[int, int]
    """View and index of the last entry."""


@attrs.define(eq=False)
class Part:
    """One core at one moment, never changed: a step is made in a copy."""

    image: bytes
    """The core, and what its disk tells."""
    seen: Seen | None = None
    """None: a client, or a replica that is dead."""
    sessions: tuple[int, ...] = ()
    """A client's."""
    view: int = 0
    """What a client takes for the present one."""
    leader: int = -1
    """Whom a client takes for the leader."""
    idle: bool = False
    """A client has nothing on its way."""
    kept: dict[int, int] = attrs.Factory(dict)
    # {session: up to where its commands are accepted on the disk of a replica that is dead}
    other: bytes = b""
    """Another core of the same form, for those who doubt."""


@attrs.frozen
class Outcome:
    """What a step does."""

    part: int
    sends: tuple[tuple[int, int], ...] = ()
    """(to whom, number of the frame)."""
    done: tuple[tuple[int, bytes | None, bool], ...] = ()
    """(operation, its result, whether it completed fast)."""


@attrs.define(eq=False)
class Cores:
    """All cores and frames that a search met, by their numbers."""

    scope: Scope
    doubtful: bool = False
    parts: list[Part] = attrs.Factory(list)
    frames: list[bytes] = attrs.Factory(list)
    steps: dict[tuple[int, Event, float], Outcome] = attrs.Factory(dict)
    doubts: int = 0
    """Steps that were made twice."""
    _part_numbers: dict[bytes, int] = attrs.Factory(dict)
    _frame_numbers: dict[bytes, int] = attrs.Factory(dict)
    _entry_numbers: dict[bytes, int] = attrs.Factory(dict)

    def step(self, part: int, event: Event, now: float) -> Outcome:
        """Return what a core does with an event."""
        key = (part, event, now)
        outcome = self.steps.get(key)
        if outcome is None:
            known = self.parts[part]
            outcome = self.steps[key] = self._make(pickle.loads(known.image), event, now)
            if known.other:
                self.doubts += 1
                assert self._make(pickle.loads(known.other), event, now) == outcome, ("equal forms act differently", event)
        return outcome

    def core(self, part: int) -> Any:
        """Return a copy of a core."""
        return pickle.loads(self.parts[part].image)[0]

    def _make(self, pair: tuple[Any, Durable | None], event: Event, now: float) -> Outcome:
        core, disk = pair
        if event[0] == "crash":
            return Outcome(self._add_part(None, disk))
        if event[0] == "restart":
            place = event[1]
            assert disk is not None or not self.scope.crashes
            return self._end_turn(Replica(core_config(self.scope, place), self._copy(disk), middle, now=now), disk, now)
        return self._make_client(core, event, now) if isinstance(core, Client) else self._make_replica(core, disk, event, now)

    @staticmethod
    def _copy(disk: Durable | None) -> Durable | None:
        return pickle.loads(pickle.dumps(disk))  # type: ignore[no-any-return]

    # ---------------------------------------------------------------------------------------------------------------------- replicas

    def _make_replica(self, core: Replica, disk: Durable | None, event: Event, now: float) -> Outcome:
        match event:
            case ("frame", source, life, frame):
                core.step(Received(self._link(source, life), pickle.loads(self.frames[frame])), now)
            case ("elect",):
                core.node.now = now
                if core.election.campaign(trial=False, forced=True):
                    core.roles.win()
            case ("down", place):
                core.step(LinkDown(place), now)
            case ("up", place, life):
                core.step(LinkUp(self._link(place, life), peer=place < REPLICAS), now)
            case ("time",):
                pass
            case _:
                raise AssertionError(f"no such event: {event}")
        return self._end_turn(core, disk, now)

    @staticmethod
    def _link(place: int, life: int) -> int | tuple[int, int]:
        return place if place < REPLICAS else (place, life)

    def _end_turn(self, core: Replica, disk: Durable | None, now: float) -> Outcome:
        if core.deadline() <= now:
            core.expire(now)
        while True:
            while core.apply(1 << 30):
                pass
            batch, records = core.take_persist(now)
            if not records:
                break
            if disk is not None:
                disk.replay(records)
            core.step(Persisted(batch), now)
        effects = core.take_effects(now)
        core.check_invariants()
        assert not effects.drops, effects.drops
        sends = [(peer, self._add_frame(sections)) for peer, sections in effects.sends]
        sends += [(link[0], self._add_frame(sections)) for link, sections in effects.replies]  # type: ignore[index]
        return Outcome(self._add_part(core, disk), tuple(sends))

    # ----------------------------------------------------------------------------------------------------------------------- clients

    def _make_client(self, core: Client, event: Event, now: float) -> Outcome:
        match event:
            case ("frame", source, _, frame):
                core.step(source, pickle.loads(self.frames[frame]), now)
            case ("down", place):
                core.link_down(place, now)
            case ("up", place, _):
                core.link_up(place, now)
            case ("open", token):
                core.open_session(token, "open")
            case ("invoke", int() as number):
                operation = self.scope.operations[number]
                session = next(iter(core.sessions.values()))
                if operation.value is None:
                    session.strong_read([operation.key], number, now)
                else:
                    session.record(bytes([PUT | CAUSAL if operation.causal else PUT]), [operation.key], [operation.value], number, now)
            case ("time",):
                pass
            case _:
                raise AssertionError(f"no such event: {event}")
        return self._end_client_turn(core, now)

    def _end_client_turn(self, core: Client, now: float) -> Outcome:
        if core.deadline() <= now:
            core.expire(now)
        done = []
        for completion in core.take_completions(now):
            assert completion.kind is not CompletionKind.FAILED, completion
            if isinstance(completion.handle, int):
                result = completion.values[0] if completion.kind is CompletionKind.READ and completion.values else None
                assert result is None or isinstance(result, bytes)
                done.append((completion.handle, result, completion.fast))
        sends = tuple([(replica, self._add_frame(sections)) for replica, sections in core.take_sends()])
        return Outcome(self._add_part(core, None), sends, tuple(done))

    # ------------------------------------------------------------------------------------------------------------------- numbering

    def begin(self, place: int) -> int:
        """Return a core that never ran."""
        if place < REPLICAS:
            return self._add_part(Replica(core_config(self.scope, place), None, middle), Durable() if self.scope.crashes else None)
        config = ClientConfig(voters=tuple(range(REPLICAS)), mode=self.scope.mode, ping_seconds=NEVER, resend_seconds=1.0)
        return self._add_part(Client(config), None)

    def _add_part(self, core: Replica | Client | None, disk: Durable | None) -> int:
        if isinstance(core, Replica):
            _begin_batches_anew(core)
        now = core.now if isinstance(core, Client) else 0.0  # its form leaves the time out, by which it sends again
        form = _digest((core.freeze() if core is not None else None, freeze(disk), now))
        number = self._part_numbers.get(form)
        if number is None:
            number = self._part_numbers[form] = len(self.parts)
            part = Part(pickle.dumps((core, disk), pickle.HIGHEST_PROTOCOL))
            if isinstance(core, Replica):
                part.seen = self._look_at(core)
            elif core is None and disk is not None:
                part.kept = {session: held.accepted for session, held in disk.chains.items()}
            elif core is not None:
                part.sessions, part.view, part.leader = tuple(core.sessions), core.view, core.leader
                part.idle = all(session.idle for session in core.sessions.values())
            self.parts.append(part)
        elif self.doubtful and not self.parts[number].other:
            image = pickle.dumps((core, disk), pickle.HIGHEST_PROTOCOL)
            if image != self.parts[number].image:
                self.parts[number].other = image
        return number

    def _add_frame(self, messages: list[Message]) -> int:
        form = _digest(freeze(messages))
        number = self._frame_numbers.setdefault(form, len(self.frames))
        if number == len(self.frames):
            self.frames.append(pickle.dumps(messages, pickle.HIGHEST_PROTOCOL))
        return number

    def _look_at(self, core: Replica) -> Seen:
        node, log = core.node, core.node.log
        entries = [log.get(index) for index in range(log.first_index, log.last_index + 1)]
        return Seen(
            node.view, core.leader is not None, node.leads, core.leader is not None and core.leader.serving, node.commit_index, log.first_index,
            tuple([self._entry_numbers.setdefault(_digest(freeze(entry)), len(self._entry_numbers)) for entry in entries]),
            tuple([entry.view for entry in entries]),
            {chain.session: (chain.accepted, chain.committed, chain.held) for chain in node.witness.chains.values()}, node.witness.commands,
            {session: record.applied for session, record in node.sessions.table.items()},
            core.reads is not None and bool(core.reads.indexed),
            (log.last_view, log.last_index),
        )  # fmt: skip


def _begin_batches_anew(core: Replica) -> None:
    """Number a journal's batches from 1 again when all are on disk: they are only compared with each other, and alike states have equal forms."""
    journal = core.node.journal
    if journal.persisted == journal.batch - 1 and not journal.marks and not core.node.held_replies:
        journal.batch, journal.persisted, journal.view_batch = 1, 0, 0


def _digest(form: object) -> bytes:
    return blake2b(repr(form).encode(), digest_size=16).digest()


def middle() -> float:
    """Be the chance of elections: none."""
    return 0.5


def core_config(scope: Scope, place: int) -> CoreConfig:
    """Return the settings of a replica."""
    return CoreConfig(
        id=place, voters=tuple(range(REPLICAS)), mode=scope.mode, durable=bool(scope.crashes), election_seconds=NEVER, commit_flush_seconds=0.01,
        forward_seconds=NEVER,
    )  # fmt: skip
