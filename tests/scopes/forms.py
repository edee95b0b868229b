"""Normal forms: one state stands for all that act alike.

*Past.*  A frame that its receiver ignores, now and in all that follows, is taken away.  Views never sink, so an answer of an older view
(``AcceptAck``, ``AcceptNack``, ``VoteReply``, ``WitnessState``; at a client a speculation, a confirmation, a read's answer) is ignored for ever.  So
is a vote for who leads that view already, a witness' state told to who serves already, and news of a leader whom the client knows.  A client's
``RecordAck`` of an older view still tells what a home holds, which only completes causal writes: it is taken away from clients without any.  An
accept of an older view is answered with the newer view, and that answer is ignored when its sender has joined that view and does not lead it (a scope
has one election at most, and who held it leads no older view afterwards).

*Again.*  A command sent again to a replica that has not read it yet is not sent again.  Whatever the replica does with both, the second only makes it
repeat its verdict.  The reading and the sending again do not commute any more: where the command is read first it is sent anew, and that state can
do all that the other can.  The search is told so (``search.independent``).

*Inert.*  A client that knows all its operations to be complete and committed has nothing to send again, whatever it hears: what it knows does not
matter any more, nothing more is delivered to it, and commands that it sent to a replica which holds them are taken away: they bring an answer only.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

import attrs

from replica.core import messages as m
from tests.scopes.cores import REPLICAS

if TYPE_CHECKING:
    from tests.scopes.cores import Part, Seen
    from tests.scopes.machine import State, World


@attrs.define(eq=False)
class Forms:
    """Makes the normal forms of one world's states."""

    world: World
    rules: frozenset[str]
    _around: list[list[tuple[int, int, int, int]]] = attrs.field(init=False)
    """For each place its channels: (cell, from, to, bit of a client that sends on it)."""
    _kept: dict[tuple[int, int, int, bool], int] = attrs.Factory(dict)
    # {(who sends, who receives, queue, whether who sends is inert): what is kept of the queue}
    _inert: dict[int, int] = attrs.Factory(dict)
    # {client: the core that stands for all in which it has nothing more to say}

    def __attrs_post_init__(self) -> None:
        places = range(len(self.world.names))
        cells = [(number, source, to, 1 << source) for number, (source, to) in enumerate(self.world.channels, len(places))]
        self._around = [[cell for cell in cells if place in cell[1:3]] for place in places] + [cells]

    def normal(self, state: State, place: int) -> State:
        """Return the state that stands for all that act alike.

        Args:
            state: any state.
            place: who has changed since it was in normal form; -1: everybody.
        """
        world, cells, inert = self.world, list(state), 0
        if "inert" in self.rules:
            for client in range(REPLICAS, len(world.names)):
                if world.finished(client, state[client], state[-3]):
                    inert |= 1 << client
                    cells[client] = self._inert.setdefault(client, state[client])
        for cell, source, to, bit in self._around[place]:
            queue = cells[cell]
            if not queue:
                continue
            if inert >> to & 1:
                cells[cell] = 0
                continue
            key = (cells[source], cells[to], queue, bool(inert & bit))
            kept = self._kept.get(key)
            if kept is None:
                kept = self._kept[key] = self._keep(cells, source, to, queue, inert=bool(inert & bit))
            cells[cell] = kept
        return tuple(cells)

    def woken(self, state: State, formed: State) -> int:
        """Return the actions that mean something else in the normal form: another frame is the first on their channel."""
        found, things = 0, self.world.queues.things
        for channel, (one, other) in enumerate(zip(state[len(self.world.names) : -3], formed[len(self.world.names) : -3], strict=True)):
            if one != other and things[one][0] != things[other][0]:
                found |= self.world.bits_on[channel]
        return found

    def _keep(self, cells: list[int], source: int, to: int, queue: int, *, inert: bool) -> int:
        """Return what is kept of a queue."""
        world, parts, rules = self.world, self.world.cores.parts, self.rules
        kept, unread = 0, set[tuple[int, int]]()
        for frame in world.frames_of(queue):
            messages = pickle.loads(world.cores.frames[frame])
            if "past" in rules and all(self._is_past(message, to, parts[cells[to]], parts[cells[source]]) for message in messages):
                continue
            if source >= REPLICAS and all(isinstance(message, m.Record) for message in messages):
                told = {command for message in messages for command in _commands(message)}
                held = parts[cells[to]].seen
                if (inert and held is not None and all(_holds(held, *command) for command in told)) or ("again" in rules and told <= unread):
                    continue
                unread |= told
            kept = world.push(kept, frame)
        return kept

    def _is_past(self, message: Any, to: int, part: Part, source: Part) -> bool:
        """Whether a message says nothing to who gets it, now and later."""
        seen, sender = part.seen, source.seen
        match message:
            case m.VoteReply() if seen is not None:
                return message.view <= seen.view and (message.asked < seen.view or seen.leads)
            case m.WitnessState() if seen is not None:
                return message.view < seen.view or (message.view == seen.view and seen.serving)
            case m.AcceptAck() | m.AcceptNack() if seen is not None:
                return message.view < seen.view
            case m.Accept() | m.Collect() if seen is not None and sender is not None and self.world.scope.elections <= 1:
                return message.view < seen.view <= sender.view and not sender.leads
            case m.Leader():
                return message.view < part.view or (message.view == part.view and (message.leader < 0 or message.leader == part.leader))
            case m.SpecReply() | m.AnchorAck() | m.StrongReadReply():
                return message.view < part.view
            case m.RecordAck():
                return message.view < part.view and not message.refusals and not self.world.writes_causally(to)
            case _:
                pass
        return False


def _commands(record: m.Record) -> list[tuple[int, int]]:
    runs = zip(record.sessions, record.firsts, record.counts, strict=True)
    return [(session, number) for session, first, count in runs for number in range(first, first + count)]


def _holds(seen: Seen, session: int, number: int) -> bool:
    return seen.chains.get(session, (0, 0, 0))[2] >= number
