"""The leader's speculation: the values of its uncommitted log tail, laid over the applied state.

``writes`` lists, for each key, the uncommitted writes in log order; speculation never touches the applied state.  ``rogue`` names the keys of
strong commands in the tail that the leader's own witness had not accepted when they were appended: they are conflict sources that the
witness' index does not show (docs/protocol.md, "The leader's step").
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

import attrs

from replica.core.witness import CAUSAL, CAUSAL_KINDS, SESSION_SHIFT, Chain, Run, Witness
from statemachine.command import CAS_VALUE, CAS_VERSION, evaluate_cas

if TYPE_CHECKING:
    from replica.core.messages import Entry
    from statemachine.store import Store


class Outcome(Enum):
    """A cas in the tail whose effect is not a value: not known yet, or known to write nothing."""

    UNKNOWN = "unknown"
    FAILED = "failed"


Write = tuple[int, int, object, int]
"""(session, number, value or Outcome, index of its entry)."""

CLOSED = 1 << 62
"""Number of a session whose end is in the log: none of its commands enters the log any more."""
BLIND_KINDS = bytes([0, 1, CAUSAL, CAUSAL + 1])


@attrs.define(eq=False)
class Logged:
    """What the leader knows of one session beyond its chain."""

    number: int
    """Last command in this leader's log."""
    blocked: int = 0
    """While a command up to here is uncommitted, none of the session's is speculative: it had a conflict of its own."""
    unwitnessed: int = 0
    """The same for causal commands that the mode hides from witnesses (``ht``)."""


@attrs.define(eq=False)
class Tail:
    """Uncommitted writes by key."""

    store: Store
    witness: Witness
    writes: dict[bytes, list[Write]] = attrs.Factory(dict)
    # {key: uncommitted writes, oldest first}
    rogue: dict[bytes, int] = attrs.Factory(dict)
    # {key: index of the last entry with such a command on it}

    def append(self, logged: Logged, chain: Chain, run: Run, index: int) -> tuple[bool, list[list[int]]]:
        """Lay a run over the tail and judge it.

        Args:
            logged: the session's record; ``blocked`` moves when the run has a conflict of its own.
            chain: the session's chain after the leader's own witness step.
            run: commands that continue ``logged``.
            index: the entry that will hold them.

        Returns:
            (every strong command of the run could be answered speculatively as far as its own conflicts go, ``[place in run, succeeded]``
            of its cas).
        """
        blind = not run.kinds.translate(None, BLIND_KINDS)
        free = chain.accepted >= run.last and not (self.rogue and self._meets_rogue(chain.session, _compound(chain, run)))
        if blind:
            self._push_all(run, chain.session, index)
            results: list[list[int]] = []
        else:
            results = []
            free = self._push_each(logged, chain, run, index, results) and free
        if not free:
            self._block(logged, chain, run, index)
        return free, results

    def _block(self, logged: Logged, chain: Chain, run: Run, index: int) -> None:
        """Note that the run is not speculative; an obstacle that is only a predecessor ends with that predecessor (REFUSED is not final)."""
        for number, kind, key in zip(range(run.first, run.last + 1), run.kinds, run.keys, strict=True):
            if not kind & CAUSAL and number > chain.accepted:
                self.rogue[key] = index
        inherited = chain.accepted < run.first - 1 and not run.kinds.translate(None, BLIND_KINDS)
        keys = _compound(chain, run)
        if not inherited or self._meets_rogue(chain.session, keys) or self._meets_foreign(chain.session, keys):
            logged.blocked = run.last

    def _meets_rogue(self, session: int, keys: list[bytes]) -> bool:
        return not self.rogue.keys().isdisjoint(keys) and any(
            write[0] != session for key in keys if key in self.rogue for write in self.writes.get(key, ())
        )

    def _meets_foreign(self, session: int, keys: list[bytes]) -> bool:
        anchored = self.witness.anchored
        return any(token is not None and token >> SESSION_SHIFT != session for token in map(anchored.get, keys))

    def _push_all(self, run: Run, session: int, index: int) -> None:
        """Push a run of blind writes. Mostly it is one or two commands: a loop is faster than columns up to a dozen."""
        writes = self.writes
        for number, (key, value) in enumerate(zip(run.keys, run.values, strict=True), run.first):
            row = (session, number, value, index)
            if key in writes:
                writes[key].append(row)
            else:
                writes[key] = [row]

    def _push_each(self, logged: Logged, chain: Chain, run: Run, index: int, results: list[list[int]]) -> bool:
        """Push a run that has cas in it, evaluating each over the tail before it; tell whether all of them could be evaluated."""
        sure = True
        usable = logged.blocked <= chain.committed
        for place, (kind, key, value) in enumerate(zip(run.kinds, run.keys, run.values, strict=True)):
            written: object = value
            if kind & ~CAUSAL in (CAS_VALUE, CAS_VERSION):
                assert isinstance(value, list)
                succeeded = self._evaluate(chain.session, kind, key, value[0]) if sure and usable else None
                if succeeded is None:
                    written, sure = Outcome.UNKNOWN, False
                else:
                    written = value[1] if succeeded else Outcome.FAILED
                    results.append([place, int(succeeded)])
            self.writes.setdefault(key, []).append((chain.session, run.first + place, written, index))
        return sure

    def _evaluate(self, session: int, kind: int, key: bytes, expected: object) -> bool | None:
        """Evaluate a cas over the tail; None where its result would depend on somebody else's uncommitted write or on an uncommitted position.

        The session is not blocked. So no own outcome above the key is unknown: one that is blocks its session until its entry is applied.
        """
        above = self.writes.get(key)
        value, version = self.store.get_entry(key)
        if not above:
            return evaluate_cas(kind, expected, value, version)
        if kind == CAS_VERSION or any(write[0] != session for write in above):
            return None
        for write in above:
            if write[2] is not Outcome.FAILED:
                value = write[2]  # type: ignore[assignment]  # the value of a put, a delete or a cas that succeeded
        return evaluate_cas(kind, expected, value, 0)

    def lay(self, session: int, run: Run, index: int) -> None:
        """Lay a run of an older view's log over the tail, without judging it: the view is not open before it is applied."""
        for number, kind, key, value in zip(range(run.first, run.last + 1), run.kinds, run.keys, run.values, strict=True):
            written = value if kind in BLIND_KINDS else Outcome.UNKNOWN
            self.writes.setdefault(key, []).append((session, number, written, index))

    def applied(self, entry: Entry) -> None:
        """Drop an entry's writes: they are part of the applied state now."""
        writes = self.writes
        for key in entry.keys:
            rows = writes[key]
            if len(rows) == 1:
                del writes[key]
            else:
                del rows[0]
        if self.rogue:
            for key in entry.keys:
                if self.rogue.get(key) == entry.index:
                    del self.rogue[key]


def _compound(chain: Chain, run: Run) -> list[bytes]:
    """Return the keys that a run is judged with: its own, and those of the causal writes since the session's last strong command before it.

    What lies before that command was judged with it, and a rival that came into the log since then comes after it.
    """
    keys: list[bytes] = []
    for earlier in chain.runs:
        if earlier.first >= run.first:
            break
        before = run.first - earlier.first
        strong = len(earlier.kinds[:before].rstrip(CAUSAL_KINDS))
        keys = [*(() if strong else keys), *earlier.keys[strong:before]]
    return keys + run.keys
