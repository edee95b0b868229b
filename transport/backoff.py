"""Exponential back-off with jitter. Pure: the jitter is handed in."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Backoff:
    """Waits between attempts: doubled after each failure, spread by jitter so that many do not return together.

    Args:
        seconds_min: the first wait.
        seconds_max: the longest wait.
        jitter: gives numbers in [0, 1); the wait is scaled by 0.5 to 1.
    """

    __slots__ = ("_jitter", "_next", "_seconds_max", "_seconds_min")

    def __init__(self, seconds_min: float, seconds_max: float, jitter: Callable[[], float]) -> None:
        """Start at the shortest wait."""
        self._seconds_min = seconds_min
        self._seconds_max = seconds_max
        self._jitter = jitter
        self._next = seconds_min

    def wait_seconds(self) -> float:
        """Give the next wait, and double the one after it."""
        seconds = self._next
        self._next = min(2 * seconds, self._seconds_max)
        return seconds * (0.5 + self._jitter() / 2)

    def succeeded(self, lived_seconds: float) -> None:
        """Start again at the shortest wait, unless what the attempt brought died sooner than the next wait is long: that was no success."""
        if lived_seconds >= self._next:
            self._next = self._seconds_min
