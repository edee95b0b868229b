"""Who may go first: a persistent set (Godefroid, LNCS 1032, chapter 4) of deliveries to one replica.

What happens elsewhere touches a replica only through what it is sent, and each link delivers in order.  So if every link into it has a frame waiting,
or gets none before the replica itself does something, then what it can be given next is fixed: whatever else happens first commutes with that, and
can wait.  Whether a link may get a frame is found by a closure over *kinds* of messages, which forgets how many there are and in what order they
come, so it says "maybe" rather too often:

- a client that has operations to invoke, or may hear of another leader, may send commands to all;
- a leader, or who may become one, sends accepts when commands, votes or witnesses' states reach it, and to who tells it that something is missing;
- accepts and collects are answered to who sent them, votes likewise; acknowledgements, reads and anchors make nobody speak to another replica, since
  time stands still.

It is asked only when no election, crash or death can come any more: those change a replica out of its turn.  Losses and second deliveries of the
frames in question belong to the set; that a loss elsewhere may use up the last one is no harm, since the run in which it comes here is tried too.
Runs end, and each step on the way takes a frame or makes progress, so nothing waits for ever.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING

import attrs

from replica.core import messages as m
from tests.scopes.cores import REPLICAS

if TYPE_CHECKING:
    from tests.scopes.machine import State, World

RECORD, ACCEPT, ANSWER, VOTE, GRANT, STATE, NEWS, QUIET = (1 << place for place in range(8))
KINDS = {
    m.Record: RECORD, m.ReadIndex: RECORD, m.Accept: ACCEPT, m.Collect: ACCEPT, m.AcceptNack: ANSWER, m.Vote: VOTE, m.VoteReply: GRANT,
    m.WitnessState: STATE, m.AcceptAck: QUIET, m.StrongRead: QUIET, m.Anchor: QUIET, m.Home: QUIET, m.KeepAlive: QUIET, m.Ping: QUIET,
    m.RecordAck: NEWS, m.SpecReply: NEWS, m.Applied: NEWS, m.StrongReadReply: NEWS, m.AnchorAck: NEWS, m.Leader: NEWS, m.Members: NEWS, m.Pong: NEWS,
}  # fmt: skip
ANYTHING = (1 << 8) - 1
"""What a message that is not among them may bring about."""


@attrs.define(eq=False)
class Order:
    """Finds a replica that may go first."""

    world: World
    _masks: dict[int, int] = attrs.Factory(dict)
    # {queue: kinds of its messages}
    _found: dict[tuple[object, ...], int] = attrs.Factory(dict)
    _into: list[list[int]] = attrs.field(init=False)
    """Channels into each place."""
    _number: dict[tuple[int, int], int] = attrs.field(init=False)
    # {(from, to): channel}
    _bits: list[int] = attrs.field(init=False)
    """Deliveries to each replica."""

    def __attrs_post_init__(self) -> None:
        world = self.world
        places = range(len(world.names))
        self._into = [[number for number, (_, to) in enumerate(world.channels) if to == place] for place in places]
        self._number = {pair: number for number, pair in enumerate(world.channels)}
        self._bits = [sum(world.bits_on[channel] for channel in self._into[place]) for place in range(REPLICAS)]

    def first(self, state: State) -> int:
        """Return the deliveries to a replica that may go first, 0 if none may.

        Args:
            state: in which nothing can go wrong any more and everybody is alive.
        """
        world, unsettled = self.world, 0
        for client in world.unaware(state):
            unsettled |= 1 << client
        for client in range(REPLICAS, len(world.names)):
            if not world.has_begun_all(client, state[-3]):
                unsettled |= 1 << client
        places, masks, parts = len(self.world.names), self._masks, self.world.cores.parts
        kinds = tuple([masks[queue] if queue in masks else self._mask(queue) for queue in state[places:-3]])
        roles = tuple([2 * seen.leads + seen.serving for part in state[:REPLICAS] if (seen := parts[part].seen) is not None])
        key = (kinds, roles, unsettled)
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = self._search(kinds, roles, unsettled)
        return found

    def _mask(self, queue: int) -> int:
        found = 0
        for frame in self.world.frames_of(queue):
            for message in pickle.loads(self.world.cores.frames[frame]):
                found |= KINDS.get(type(message), ANYTHING)
        self._masks[queue] = found
        return found

    def _search(self, kinds: tuple[int, ...], roles: tuple[int, ...], unsettled: int) -> int:
        best, fewest = 0, 99
        for place in range(REPLICAS):
            pending = [number for number in self._into[place] if kinds[number]]
            if pending and len(pending) < fewest:
                filled = self._may_come(place, list(kinds), roles, unsettled)
                if all(kinds[number] or not filled[number] for number in self._into[place]):
                    best, fewest = self._bits[place], len(pending)
        return best

    def _may_come(self, still: int, kinds: list[int], roles: tuple[int, ...], unsettled: int) -> list[int]:
        """Return for each channel what may be on it, now or later, while one replica does nothing."""
        number, places = self._number, range(len(self.world.names))
        changed = True

        def add(source: int, to: int, what: int) -> None:
            nonlocal changed
            channel = number[source, to]
            if kinds[channel] | what != kinds[channel]:
                kinds[channel] |= what
                changed = True

        while changed:
            changed = False
            for place in places:
                if place == still:
                    continue
                into = {self.world.channels[channel][0]: kinds[channel] for channel in self._into[place]}
                every = 0
                for what in into.values():
                    every |= what
                if place >= REPLICAS:
                    if unsettled >> place & 1:
                        for peer in range(REPLICAS):
                            add(place, peer, RECORD | QUIET)
                    continue
                leads = roles[place] >= 2 or every & GRANT
                tells = leads and (every & (RECORD | STATE | GRANT) or (roles[place] == 2 and every))
                for peer in range(REPLICAS):
                    if peer == place:
                        continue
                    what = into[peer]
                    if what & ACCEPT:
                        add(place, peer, ANSWER | STATE | QUIET)
                    if what & VOTE:
                        add(place, peer, GRANT)
                    if (what & ANSWER and leads) or tells:
                        add(place, peer, ACCEPT)
                if every:
                    for client in range(REPLICAS, len(self.world.names)):
                        add(place, client, NEWS)
        return kinds
