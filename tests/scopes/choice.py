"""What must be done in a state: part of what may be done, if the rest can wait.

*Listen.*  A client takes what it is told at once.  The order in which it hears replicas changes neither what replicas do nor what it answers, except
by what it knows to be committed (a new view makes it send everything again that is not) and by when an operation completes: the sooner, the more must
come after it, so a run in which it listens at once is judged the strictest.  Which news comes first is up to who sends first.  Where views may change
or replicas die, what is applied may be heard late as long as a client may hear of another leader, and who reads may hear everything late, since its
answer may come from either leader; a scope that is ``prompt`` leaves that out.  A frame to a client can still be lost, or come twice.

*Late.*  A client's first operation is invoked when the first of its frames arrives somewhere.  Before that nobody could tell; and the later it is
invoked, the more operations came before it, so the stricter it is judged.

*Quiet.*  Some deliveries change nothing that anything else depends on, so they are done first, alone.  An acknowledgement of what the leader has
committed already moves a counter of that link only, unless reads wait for it.  A command that a replica has accepted already, sent again by a client
that knows the last view of all, only makes it repeat the verdict to a client that listens.

*Order.*  See ``order``.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import attrs

from replica.core import messages as m
from tests.scopes.cores import REPLICAS
from tests.scopes.order import Order

if TYPE_CHECKING:
    from tests.scopes.machine import State, World


@attrs.define(eq=False)
class Choice:
    """Chooses what is done in one world's states."""

    world: World
    rules: frozenset[str]
    _order: Order = attrs.field(init=False)
    _listening: list[int] = attrs.field(init=False)
    """Channels to clients who listen."""
    _inward: list[tuple[int, int, int]] = attrs.field(init=False)
    """(channel, from, to) of those to replicas."""
    _late: dict[int, list[tuple[int, int, int]]] = attrs.Factory(dict)
    # {client that may begin late: (channel, to, bit of the action)}
    _applied: dict[int, bool] = attrs.Factory(dict)
    # {frame: whether it tells what is applied}
    _quiet: dict[tuple[int, int, int], bool] = attrs.Factory(dict)
    # {(who receives, frame, who sends): whether it changes nothing}

    def __attrs_post_init__(self) -> None:
        world, scope = self.world, self.world.scope
        self._order = Order(world)
        channels = range(len(world.channels))
        eager = [place for place in range(REPLICAS, len(world.names)) if scope.prompt or not scope.faults or not world.reads(place)]
        self._listening = [channel for channel in reversed(channels) if "listen" in self.rules and world.channels[channel][1] in eager]
        self._inward = [(channel, *pair) for channel, pair in enumerate(world.channels) if pair[1] < REPLICAS]
        if "late" in self.rules and not scope.losses and not scope.duplicates:
            for bit, (kind, channel, to) in enumerate(world.plan):
                if kind == "begin" and world.channels[channel][0] in eager:
                    self._late.setdefault(world.channels[channel][0], []).append((channel, to, 1 << bit))

    def chosen(self, state: State) -> int:
        """Return what is done in a state."""
        world, rules, places = self.world, self.rules, len(self.world.names)
        fixed = world.scope.prompt or not world.scope.faults or (world.is_steady(state) and not world.unaware(state))
        for channel in self._listening:
            queue = state[places + channel]
            if queue and (fixed or not self._tells_applied(world.queues.things[queue][0])):
                return world.enabled(state) & world.bits_on[channel]
        steady = world.is_steady(state)
        if "quiet" in rules:
            for channel, source, to in self._inward:
                queue = state[places + channel]
                if queue and (steady or source < REPLICAS) and self._is_quiet(state[source], state[to], world.queues.things[queue][0], source):
                    return world.bits_on[channel] & world.enabled(state)
        if steady and "order" in rules:
            first = self._order.first(state)
            if first:
                return first & world.enabled(state)
        return self._begin_late(state, world.enabled(state))

    def _begin_late(self, state: State, found: int) -> int:
        world, places = self.world, len(self.world.names)
        for client, number in enumerate(world.invocable(state[-3]), REPLICAS):
            ways = self._late.get(client)
            if ways and number == world.first_operation[client] and not any(state[places + channel] for channel, _, _ in ways):
                asked = [to for to, _ in world.cores.step(state[client], ("invoke", number), world.now).sends]
                arrivals = [bit for _, to, bit in ways if to in asked and world.cores.parts[state[to]].seen is not None]
                if arrivals:
                    found = found & ~(1 << (client - REPLICAS)) | sum(arrivals)
        return found

    def _tells_applied(self, frame: int) -> bool:
        found = self._applied.get(frame)
        if found is None:
            messages = pickle.loads(self.world.cores.frames[frame])
            found = self._applied[frame] = any(isinstance(message, m.Applied) for message in messages)
        return found

    def _is_quiet(self, sender: int, receiver: int, frame: int, source: int) -> bool:
        key = (receiver, frame, sender if source >= REPLICAS else -1)
        found = self._quiet.get(key)
        if found is None:
            found = self._quiet[key] = self._changes_nothing(sender, receiver, frame, source)
        return found

    def _changes_nothing(self, sender: int, receiver: int, frame: int, source: int) -> bool:
        parts = self.world.cores.parts
        seen, client = parts[receiver].seen, parts[sender]
        if seen is None:
            return False
        messages = pickle.loads(self.world.cores.frames[frame])
        if source < REPLICAS:
            acks = all(isinstance(message, m.AcceptAck) and message.view == seen.view and message.match_index <= seen.commit for message in messages)
            return acks and seen.leads and not seen.asked
        if (
            client.view != seen.view
            or client.leader < 0
            or "listen" not in self.rules
            or not all(isinstance(message, m.Record) for message in messages)
        ):
            return False
        runs = [run for message in messages for run in zip(message.sessions, message.firsts, message.counts, strict=True)]
        return all(session in seen.chains and seen.chains[session][0] >= first + count - 1 for session, first, count in runs)
