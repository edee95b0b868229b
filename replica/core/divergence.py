"""Whether all replicas have one state: their hashes compared at equal positions, in the background.

Replicas apply the same entries in the same order, so at the end of an entry all of them have the same state.  If one has not, something that must
not happen did: a bug, a bit that flipped in memory, a table that somebody altered.  Whoever serves from such a state lies.

Every replica hashes its state at the end of the first entry that reaches a multiple of some number, which are the same entries everywhere; the
moment is taken there and hashed in slices while the store goes on changing.  It tells all others its hash, and judges when it knows another:

* a hash that a majority of the voters has is right: who has another one is *divergent*, leader or not;
* where no hash can get a majority any more, or none gets it in time, nobody can tell who is right, and no replica that knows of it may serve:
  a majority that answers would be one of different states;
* who has the hash of a majority at a later position serves the right state, whatever was open before: it waits for nobody's word on that any more.

A large state is hashed more rarely, at multiples of a power of two times that number.  Replicas that do not agree on how large the state is still
meet at the common multiples.

What must not live here: what a process does about it (``replica.guard``).  Source: state machine replicas that vote on their outputs (Schneider,
Computing Surveys 1990), here on their states, after the fact.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Self

import attrs

from replica.core.messages import StateHash

if TYPE_CHECKING:
    from replica.core.node import Node
    from statemachine.hashing import MomentHash

EVERY_POSITIONS = 1 << 16
"""A small state is hashed at multiples of this."""
POSITIONS_PER_KEY = 4
"""So many commands at least for each key hashed: a hash of a key costs about a tenth of a command."""
PATIENCE_SECONDS = 10.0
"""How long a difference may wait for the voter that decides."""
POSITIONS_KEPT = 8


@attrs.define(eq=False)
class Divergence:
    """What one replica knows of the others' states.

    Attributes:
        node: whose state.
        every: positions between two hashes of a small state; the same on all replicas.
        verdict: why this replica must not serve any more, in words; empty while it may.
        certain: with a verdict, whether it is this replica that is wrong.
        divergent: others that are, ``{replica: position}``.
    """

    node: Node
    every: int = EVERY_POSITIONS
    verdict: str = ""
    certain: bool = False
    divergent: dict[int, int] = attrs.Factory(dict)
    _hashing: MomentHash | None = None
    _position: int = 0  # that is being hashed
    _told: dict[int, dict[int, int]] = attrs.Factory(dict)  # {position: {replica: hash}}
    _open: dict[int, float] = attrs.Factory(dict)  # {position of a difference nobody could judge yet: since when}
    _settled: int = 0  # the last position at which this replica had a majority's state

    def on_applied(self, before: int) -> None:
        """An entry was applied that began behind position ``before``: take the moment, if one is due."""
        node, step = self.node, self.every
        upto = node.applied_position
        if before // step == upto // step or self._hashing is not None or self.verdict or len(node.configuration.voters) < 2:  # noqa: PLR2004 - alone
            return
        while step < POSITIONS_PER_KEY * len(node.store.entries):
            step *= 2
        if before // step < upto // step:
            self._hashing, self._position = node.store.begin_hash(), upto

    def work(self, keys: int) -> bool:
        """Hash about so many keys, and tell the others when it is done; to be called again and again.

        Returns:
            Whether there was anything to hash.
        """
        for position, since in list(self._open.items()):
            if self.node.now - since > PATIENCE_SECONDS:
                self._give_up(position)
        if self._hashing is None:
            return False
        if not self._hashing.fold(keys):
            node, found = self.node, self._hashing.value() >> 1  # frames carry 63 bits
            self._hashing = None
            for peer in node.configuration.members:
                if peer != node.config.id:
                    node.send(peer, StateHash(self._position, found))
            self._note(node.config.id, self._position, found)
        return True

    def on_hash(self, source: int, message: StateHash) -> None:
        """Another replica tells its hash."""
        if source in self.node.configuration.members:
            self._note(source, message.position, message.hash)

    def _note(self, replica: int, position: int, found: int) -> None:
        self._told.setdefault(position, {})[replica] = found
        while len(self._told) > POSITIONS_KEPT:
            oldest = min(self._told)
            del self._told[oldest]
            self._open.pop(oldest, None)
        if position in self._told and not self.verdict:
            self._judge(position)

    def _judge(self, position: int) -> None:
        """Compare what is known of a position, if this replica's own hash is."""
        node, told = self.node, self._told[position]
        own = told.get(node.config.id)
        if own is None:
            return
        voters, majority = node.configuration.voters, node.configuration.majority
        counts = Counter(told[voter] for voter in voters if voter in told)
        right, count = counts.most_common(1)[0] if counts else (own, 0)
        if count >= majority:
            self._open.pop(position, None)
            if own != right:
                self.certain = True
                self.verdict = f"its state at position {position} is not that of the majority: {self._words(position)}"
            else:
                self.divergent.update((replica, position) for replica, found in told.items() if found != right and replica not in self.divergent)
                self._settle(position)
        elif len(set(told.values())) == 1 or position <= self._settled:
            return
        elif count + sum(voter not in told for voter in voters) < majority:
            self._give_up(position)
        else:
            self._open.setdefault(position, node.now)

    def _settle(self, position: int) -> None:
        """This replica's state at a position is a majority's: earlier differences that nobody could judge are no reason to leave any more."""
        self._settled = max(self._settled, position)
        for earlier in [other for other in self._open if other < position]:
            del self._open[earlier]

    def _give_up(self, position: int) -> None:
        self._open.pop(position, None)
        self.verdict = f"replicas have different states at position {position}, none of them a majority's, and nobody can tell which is right: " + (
            self._words(position)
        )

    def _words(self, position: int) -> str:
        return ", ".join(f"replica {replica} {found:016x}" for replica, found in sorted(self._told[position].items()))

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        """Copy for ``Replica.clone``; a hash that is begun is not copied."""
        from copy import deepcopy

        other = type(self)(deepcopy(self.node, memo), self.every, self.verdict, self.certain, dict(self.divergent))
        other._told, other._open, other._settled = deepcopy(self._told), dict(self._open), self._settled  # noqa: SLF001 - the same class
        return other
