"""What replicas told: what completes rests on that, told in one view, and who is asked later must not have forgotten it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from replica.core import messages as m
from replica.core.quorum import fast_quorum
from tests.sim.history import Operation, Violation

if TYPE_CHECKING:
    from collections.abc import Sequence

    from replica.core.client import Client
    from replica.core.effects import Effects
    from replica.core.messages import Message
    from tests.sim.actors import ReplicaActor
    from tests.sim.observer import Observer

Told = dict[tuple[int, int, int], int]
"""``{(replica, view, session): the highest number}``."""


@attrs.define(eq=False)
class Words:
    """All replicas' words to clients."""

    observer: Observer
    accepted: Told = attrs.Factory(dict)
    anchored: Told = attrs.Factory(dict)
    speculated: Told = attrs.Factory(dict)
    confirmed: Told = attrs.Factory(dict)
    """Reads: whose view was confirmed for them."""
    applied: Told = attrs.Factory(dict)
    """What was committed by then."""
    indexed: set[tuple[int, int]] = attrs.Factory(set)
    # {(session, read) answered by the long way}

    def on_turn(self, actor: ReplicaActor, effects: Effects) -> None:
        """Note what a replica tells, and compare what it tells a new leader with what it told before."""
        for _, sections in effects.replies:
            for section in sections:
                self._note(actor.id, section)
        config = actor.core.node.config
        if config.durable and config.mode != "ht":  # there witnesses do not see all commands of a chain
            for _, sections in effects.sends:
                for section in sections:
                    if isinstance(section, m.WitnessState):
                        self._remembers(actor, section)

    def _note(self, replica: int, section: Message) -> None:
        match section:
            case m.RecordAck():
                for sid, accepted in zip(section.sessions, section.accepted, strict=True):
                    _raise(self.accepted, (replica, section.view, sid), accepted)
            case m.AnchorAck():
                for sid, read, anchored in zip(section.sessions, section.reads, section.anchored, strict=True):
                    _raise(self.confirmed, (replica, section.view, sid), read)
                    _raise(self.anchored, (replica, section.view, sid), anchored)
            case m.SpecReply():
                for sid, first, count in zip(section.sessions, section.firsts, section.counts, strict=True):
                    _raise(self.speculated, (replica, section.view, sid), first + count - 1)
            case m.Applied():
                for sid, upto in zip(section.sessions, section.upto, strict=True):
                    _raise(self.applied, (replica, section.view, sid), upto)
            case m.StrongReadReply() if section.indexed:
                for sid, first, count in zip(section.sessions, section.firsts, section.counts, strict=True):
                    self.indexed.update((sid, read) for read in range(first, first + count))
            case _:
                pass

    def _remembers(self, actor: ReplicaActor, section: m.WitnessState) -> None:
        """I-ACK: a witness tells a new leader all that it promised in older views; what it tells clients of this one may be newer than this part."""
        registry, places = self.observer.registry, self.observer.places
        for sid, _, accepted, anchored in section.levels:
            track = registry.tracks.get(sid)
            if track is None or sid in registry.ended:
                continue
            for what, told, now in (("accepted", self.accepted, accepted), ("anchored", self.anchored, anchored)):
                views = range(1, section.view)
                promised = max((told.get((actor.id, view, sid), 0) for view in views), default=0)
                if promised > now and (track.index, promised) not in places:
                    raise Violation(f"I-ACK: {actor.name} had {what} #{promised} of session {track.index}, and tells a new leader {now}")

    # ------------------------------------------------------------------------------------------------------------------ what rests on it

    def check_fast(self, operation: Operation, client: Client) -> None:
        """I-FAST: a command completes fast by words of one view, the leader's among them.

        Raises:
            Violation: by what nobody has told.
        """
        sid, view, voters = self._sid(operation), client.view, client.members.voters
        others = [one for one in voters if one != client.leader and self.accepted.get((one, view, sid), 0) >= operation.number]
        told = self.speculated.get((client.leader, view, sid), 0) >= operation.number
        if not told or (len(others) < fast_quorum(len(voters)) - 1 and not self.observer.committed(operation)):
            raise Violation(f"I-FAST: {others} of {voters} accepted in view {view}, and its leader {client.leader} told {told}: {operation}")
        self._check_held(operation, operation.number, voters, client.view)

    def check_read(self, operation: Operation, client: Client) -> None:
        """I-FAST: a strong read rests on a leader that others have confirmed, or on the long way, and on what it follows, in that leader's order.

        Raises:
            Violation: nobody has confirmed it, or too few hold that.
        """
        sid, view, voters = self._sid(operation), client.view, client.members.voters
        operations = self.observer.world.history.tracks[operation.session].operations
        read = sum(not one.number for one in operations[: operation.place + 1])
        others = [one for one in voters if one != client.leader and self.confirmed.get((one, view, sid), 0) >= read]
        if (sid, read) not in self.indexed and len(others) < len(voters) // 2 + (client.leader not in voters):
            raise Violation(f"I-FAST: only {others} of {voters} confirmed view {view} of leader {client.leader}: {operation}")
        if (sid, read) not in self.indexed and client.config.mode != "paxos":
            self._check_order(operation, client)
        if operation.dependency:
            self._check_held(operation, operation.dependency, voters, client.view)

    def _check_order(self, operation: Operation, client: Client) -> None:
        """What a read follows is pinned in its view, or was committed by then: a later leader may put it behind what the read has not seen."""
        sid, view, voters, number = self._sid(operation), client.view, client.members.voters, operation.dependency
        pinned = [one for one in voters if one != client.leader and self.anchored.get((one, view, sid), 0) >= number]
        if client.leader in voters and len(pinned) >= fast_quorum(len(voters)) - 1:
            return
        if not any(upto >= number for (_, told_in, of), upto in self.applied.items() if of == sid and told_in <= view):
            raise Violation(
                f"I-FAST: {pinned} of {voters} pinned #{number} in view {view}, and nobody said until then that it is committed: {operation}"
            )

    def _check_held(self, operation: Operation, number: int, voters: Sequence[int], view: int) -> None:
        observer, sid = self.observer, self._sid(operation)
        pinned = lost = 0
        for actor in observer.world.replicas:
            if actor.id not in voters:
                continue
            chain = observer.chain(actor, operation)
            if chain is not None and (chain.accepted if operation.number else chain.anchored) >= number:
                pinned += 1
            elif not observer.world.options.core.durable and (not actor.alive or actor.core.node.muted):
                # Who died, or came back without what it had, held it if it told so, and is one of those that may fail.
                told = max(words.get((actor.id, view, sid), 0) for words in (self.accepted, self.speculated))
                lost += not operation.number or told >= number
        if pinned + lost < fast_quorum(len(voters)) and not observer.committed(operation):
            raise Violation(f"I-FAST: {pinned} of {len(voters)} replicas hold what this completed with: {operation}")

    def _sid(self, operation: Operation) -> int:
        return self.observer.world.history.tracks[operation.session].sid


def _raise(told: Told, key: tuple[int, int, int], number: int) -> None:
    if number > told.get(key, 0):
        told[key] = number
