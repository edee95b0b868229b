"""Where sessions are at home: the replica with the shortest round trip, spread over those that are as good.

Round trips are the best of the latest few: a busy process measures its own queue.  Replicas within 20 % and 100 us of the best are equals; sessions
are spread over equals by their id, also, after a while, those that came to one while others were away.  A replica that leaves pings unanswered while
its link stays up (stopped, or its machine or its disk stalls, or it hears no leader) is *silent*: what it measured before says nothing any more, and
nobody is at home there while another answers.  Causal reads are asked only of the home, and own writes kept until it has them: they would wait in
vain, and be kept without end.
"""

from __future__ import annotations

import math
from collections import deque

import attrs

SLACK_SHARE, SLACK_SECONDS = 1.2, 100e-6
"""Round trips within this of the best one count as equal."""
MOVES_AFTER = 3
"""Worse measurements in a row before a session moves."""
PINGS_KEPT = 8
PINGS_SILENT = 2
"""So many pings without an answer, the latest among them, make a replica silent."""
PINGS_FIRST = 4
"""A fresh link is measured so often at once: its first round trip says more about a starting process than about the line."""
SPREAD_AFTER = 30
"""Measurements in a row with the same equals before the sessions that are elsewhere among them than their ids say move there."""
SPREAD_AT_ONCE = 1000
"""So many of them move with one measurement."""


@attrs.define(eq=False)
class Line:
    """What is known of the way to one replica while it is linked."""

    trips: deque[float] = attrs.Factory(lambda: deque(maxlen=PINGS_KEPT))
    """Latest round trips, seconds."""
    pinged: dict[int, float] = attrs.Factory(dict)
    # {nonce: sent at}

    @property
    def round_trip(self) -> float:
        """The best of the latest round trips; infinite while unmeasured."""
        return min(self.trips, default=math.inf)

    @property
    def silent(self) -> bool:
        """Whether the latest pings are all unanswered."""
        return len(self.pinged) >= PINGS_SILENT


@attrs.define(eq=False)
class Homes:
    """Measures the ways to all linked replicas."""

    lines: dict[int, Line] = attrs.Factory(dict)
    # {linked replica: its line}
    worse: dict[int, int] = attrs.Factory(dict)
    # {session: worse measurements of its home in a row}
    nonce: int = 0
    best: list[int] = attrs.Factory(list)
    """Who the equals were at the last measurement."""
    steady: int = 0
    """For how many measurements since."""
    spread: bool = False
    """Every session is among them where its id says."""

    def ping(self, replica: int, now: float) -> int:
        """Begin a measurement; returns the nonce to send."""
        line = self.lines[replica]
        self.nonce += 1
        if len(line.pinged) >= PINGS_KEPT:
            del line.pinged[next(iter(line.pinged))]  # lost: a link may lose what is sent on it, and must be measured again all the same
        line.pinged[self.nonce] = now
        return self.nonce

    def on_pong(self, replica: int, nonce: int, now: float) -> int:
        """End a measurement; returns how many there are of this line by now, 0 for an answer to nothing."""
        line = self.lines.get(replica)
        sent = line.pinged.pop(nonce, None) if line is not None else None
        if line is None or sent is None:
            return 0
        line.pinged = {later: at for later, at in line.pinged.items() if later > nonce}  # a link keeps its order: those before are lost
        line.trips.append(now - sent)
        return len(line.trips)

    def equals(self) -> list[int]:
        """Return the linked replicas that answer and whose round trip counts as the best, in their order; of silent ones only if all are."""
        lines = {replica: line for replica, line in self.lines.items() if not line.silent} or self.lines
        best = min((line.round_trip for line in lines.values()), default=math.inf)
        slack = best * SLACK_SHARE + SLACK_SECONDS
        return [replica for replica, line in sorted(lines.items()) if line.round_trip <= slack]

    def may_spread(self, equals: list[int]) -> bool:
        """Count a measurement of the equals; tell whether they are the same for so long that sessions may be spread over them, and are not yet."""
        if equals != self.best:
            self.best, self.steady, self.spread = equals, 0, False
        self.steady += 1
        return self.steady > SPREAD_AFTER and not self.spread

    def choose(self, session: int, otherwise: list[int]) -> int:
        """Choose a session's home, among ``otherwise`` if nothing is linked."""
        equals = self.equals() or otherwise
        return equals[session % len(equals)]

    def is_worse(self, session: int, home: int, measurements: int, equals: list[int]) -> bool:
        """Count a measurement of a session's home; tell whether it was worse than the best often enough to move.

        Args:
            session: its id.
            home: where it is at home.
            measurements: how often this one counts.
            equals: what ``equals()`` says, once for all sessions: a process may have a hundred thousand.
        """
        line = self.lines.get(home)
        if line is None or not (line.trips or line.silent) or home in equals:
            self.worse.pop(session, None)
            return False
        worse = self.worse[session] = self.worse.get(session, 0) + (MOVES_AFTER if line.silent else measurements)
        if worse < MOVES_AFTER:
            return False
        del self.worse[session]
        return True
