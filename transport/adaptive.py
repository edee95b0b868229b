"""The adaptive batch policy: one link decides by its own figures how long its queue may wait for more. Pure: told the time and the measurements.

The law.  After each send a link knows ``cost``, what a send takes, and ``gap``, the time between two flushes that brought frames (both are running
averages).  Sent one by one, sends take ``cost / gap`` of the process' time.  They shall take ``SEND_SHARE`` at most, so the link wants
``cost / SEND_SHARE`` between two sends, and holds for that long:

1. never longer than ``delay_seconds_max`` and the turn under way; never with ``full_bytes`` queued (cost per byte is flat from there); never what a
   partial send left;
2. only if two flushes come in that time (``gap`` is half of it), and until less than one does: without the second a hold is a delay, nothing else;
3. only while the process has other work: when the hub would go to sleep, all that is held leaves at once (``Hub``), so an idle process adds no delay;
4. each hold that gathers nothing costs a point, each send that it saves earns one; ``POINTS_MIN`` ends holding for a number of sends that
   doubles each time, ``PAUSE_SENDS_MIN`` to ``PAUSE_SENDS_MAX``, and shrinks back when holds pay again;
5. a link that will not hold looks away: of ``SMOOTHING`` sends it reads the clock for one, which tells the mean gap of them all.

Why it is stable.  In a closed loop a hold makes the next flush later: ``gap`` grows with the delay, so the feedback is negative, and the delay is
bounded.  Rule 2 has a factor of two between on and off, and the averages take ``SMOOTHING`` sends to follow: it cannot alternate faster than they do.
A link whose holds never gather holds in fewer than one send of a thousand in the long run (rule 4), and a changed load is noticed after at most
``PAUSE_SENDS_MAX`` sends: by rule 2 at once when it thins out, by rule 5 within ``2 * SMOOTHING`` when it grows dense.

The idea is NIC drivers': interrupt moderation, and NAPI's "stay while it is dense".  What must not live here: sockets, clocks, frames' contents.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from transport.batch import FULL_BYTES, FixedPolicy, TurnPolicy
from transport.errors import LocalMisuse

if TYPE_CHECKING:
    from transport.batch import BatchPolicy

BATCH_DELAY_SECONDS_MAX = 0.0002
"""Default of the longest hold."""

SEND_SHARE = 0.05
"""The share of the process' time that a link's sends may take before gathering is tried. Low, for the other side pays more: a receive, a turn."""

SMOOTHING = 16
"""Sends that a running average looks back."""

GAP_SECONDS_MAX = 0.01
"""Longer gaps count as this: after a pause the average shall not take for ever to notice that the load is dense again."""

COST_SECONDS_FIRST = 15e-6
"""What a send takes, as long as it is not measured; one over loopback took 10 to 20 us."""

UNTOLD_SENDS = SMOOTHING - 1
"""Sends that a link keeps to itself while it would not hold anyway: looking at the clock four times a send cost 4 % of the latency at 1 x 1."""

POINTS_MIN = -4
POINTS_MAX = 4
PAUSE_SENDS_MIN = 16
PAUSE_SENDS_MAX = 8192


class AdaptivePolicy:
    """Holds a link's queue while its own measurements say that holding pays. It has state: one for each link (``for_link``).

    Args:
        delay_seconds_max: longest hold; 0 or more.
        full_bytes: a queue of this size is sent at once.

    Attributes:
        delay_seconds: how long the first of the queued frames is held at present, 0 to ``delay_seconds_max``.
        cost_seconds: what a send takes while flushes are dense, running average; a guess before the first.
        gap_seconds: time between flushes with frames, running average.

    Invariants:
        ``hold_seconds`` is never more than what is left of ``delay_seconds_max``. A link that is not told of its sends never holds.
    """

    __slots__ = (
        "_bytes",
        "_flushes",
        "_frames",
        "_pause",
        "_pause_left",
        "_points",
        "_sent_at",
        "_untold",
        "cost_seconds",
        "delay_seconds",
        "delay_seconds_max",
        "full_bytes",
        "gap_seconds",
    )
    holds = True
    only_while_busy = True

    def __init__(self, delay_seconds_max: float = BATCH_DELAY_SECONDS_MAX, full_bytes: int = FULL_BYTES) -> None:
        """Refuse a negative delay."""
        if delay_seconds_max < 0:
            message = f"delay_seconds_max = {delay_seconds_max} is negative"
            raise LocalMisuse(message)
        self.delay_seconds_max = delay_seconds_max
        self.full_bytes = full_bytes
        self.delay_seconds = 0.0
        self._bytes = float(full_bytes)  # of a flush, running average; until it is known there is no hold
        self.cost_seconds = COST_SECONDS_FIRST
        self.gap_seconds = GAP_SECONDS_MAX
        self._sent_at = -math.inf
        self._frames = self._flushes = 0  # queued at the last flush; flushes that brought some since the last send
        self._untold = 0  # sends since the last one told that the link kept to itself
        self._points = 0
        self._pause = PAUSE_SENDS_MIN
        self._pause_left = 0  # sends until holding is tried again

    def for_link(self) -> AdaptivePolicy:
        """Make the policy of one more link, with the same bounds."""
        return AdaptivePolicy(self.delay_seconds_max, self.full_bytes)

    def hold_seconds(self, queued_frames: int, queued_bytes: int, oldest_age_seconds: float) -> float:
        """Hold for what is left of the present delay; see ``BatchPolicy``."""
        if queued_frames > self._frames:
            self._frames = queued_frames
            self._flushes += 1
        return 0.0 if queued_bytes >= self.full_bytes else self.delay_seconds - oldest_age_seconds

    def sent(self, frames: int, count: int, cost_seconds: float, now: float) -> int:
        """Learn from a send, and from those before it that the link kept to itself: each was a flush; see ``BatchPolicy``."""
        flushes = self._flushes
        self._frames = self._flushes = 0
        if not flushes or not frames:
            return 0  # the rest of an earlier send: it tells nothing of what comes
        untold, self._untold = self._untold, 0
        weight = (untold + 1) / SMOOTHING
        gap = (now - self._sent_at) / (untold + flushes)
        self._sent_at = now
        self.gap_seconds += (min(gap, GAP_SECONDS_MAX) - self.gap_seconds) * weight
        if self.gap_seconds > self.delay_seconds_max:
            self.delay_seconds = 0.0  # thin: by far the most frequent case
            self._untold = UNTOLD_SENDS
        else:
            self._pause_left = max(0, self._pause_left - untold)
            self._learn(flushes, count, cost_seconds, weight)
            self._untold = UNTOLD_SENDS if self._pause_left > UNTOLD_SENDS else 0
        return self._untold

    def _learn(self, flushes: int, count: int, cost_seconds: float, weight: float) -> None:
        """Move the other averages and decide. A send during which the process lost the processor counts as twice the average at most."""
        self.cost_seconds += (min(cost_seconds, 2 * self.cost_seconds) - self.cost_seconds) * weight
        self._bytes += (count / flushes - self._bytes) * weight
        if self.delay_seconds > 0:
            self._judge(flushes)
        elif self._pause_left:
            self._pause_left -= 1
        self.delay_seconds = self._next_delay()

    def _judge(self, flushes: int) -> None:
        """Count whether the hold paid; pause if holds have not for some time."""
        self._points = min(self._points + (flushes - 1 if flushes > 1 else -1), POINTS_MAX)
        if self._points == POINTS_MAX:
            self._pause = max(self._pause // 2, PAUSE_SENDS_MIN)
        elif self._points <= POINTS_MIN:
            self._points = 0
            self._pause_left = self._pause
            self._pause = min(2 * self._pause, PAUSE_SENDS_MAX)

    def _next_delay(self) -> float:
        wanted = min(self.cost_seconds / SEND_SHARE, self.delay_seconds_max)
        enough = wanted if self.delay_seconds > 0 else wanted / 2
        if self._pause_left or self.gap_seconds > enough or 2 * self._bytes > self.full_bytes:
            return 0.0
        return wanted


def policy_named(batching: str, delay_seconds: float) -> BatchPolicy:
    """Make the policy of a setting.

    Args:
        batching: ``turn``, ``fixed`` or ``adaptive``.
        delay_seconds: of ``fixed``; the others have no use for it.
    """
    if batching == "adaptive":
        return AdaptivePolicy()
    if batching == "fixed":
        return FixedPolicy(delay_seconds)
    if batching == "turn":
        return TurnPolicy()
    message = f"batching = {batching}: there are turn, fixed and adaptive"
    raise LocalMisuse(message)
