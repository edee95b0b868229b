"""A replica's clock: it begins anywhere with each life, as a process's does, and runs too fast or too slowly while faults strike.

Cores are told the time and may use it to wait, never to find out what is true: then no clock can make them wrong, only late. What chance has
clocks do is drawn apart, so that worlds without drift are as they would be if there were no such thing.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, Protocol

import attrs

if TYPE_CHECKING:
    import random

START_MAX: Final = 1e6
"""Seconds that a clock shows when it begins, at most."""
CALM_DRIFT: Final = 0.01
"""Share by which a clock is still too fast or too slow when the world is calm: what must be complete in time is so by right clocks."""


class Time(Protocol):
    """What a clock needs of the world."""

    now: float
    calm: bool


@attrs.define(eq=False)
class Clock:
    """One replica's clock.

    Args:
        time: the world's.
        drift: it runs between so many times as slowly and as fast; 1: it is right.
        rng: decides how it runs.
    """

    time: Time
    drift: float
    rng: random.Random
    rate: float = 1.0
    """Its seconds in one of the world's."""
    _since: float = 0.0
    _shown: float = 0.0
    """At that time of the world's."""

    def begin(self) -> None:
        """Begin with a life."""
        if self.drift != 1.0:
            self._since, self._shown = self.time.now, self.rng.choice((0.0, self.rng.uniform(0.0, START_MAX)))
            fastest = math.log(self.drift)
            self.rate = math.exp(self.rng.uniform(-fastest, fastest))
            if self.time.calm:
                self.calm_down()

    def calm_down(self) -> None:
        """Run almost right from now on, without a jump."""
        if self.drift != 1.0:
            self._since, self._shown = self.time.now, self.now()
            self.rate = 1.0 + self.rng.uniform(-CALM_DRIFT, CALM_DRIFT)

    def now(self) -> float:
        """Return what it shows."""
        return self._shown + (self.time.now - self._since) * self.rate

    def when(self, shown: float) -> float:
        """Return the world's first time at which it shows this or more; ``inf`` for ``inf``."""
        if shown == math.inf:
            return math.inf
        moment = self._since + (shown - self._shown) / self.rate
        while self._shown + (moment - self._since) * self.rate < shown:  # a rounding more, and a deadline would never come
            moment = math.nextafter(moment, math.inf)
        return moment
