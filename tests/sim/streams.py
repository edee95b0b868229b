"""Where a world's chance comes from.

A seed's run draws everything from one generator, in the order in which things happen. Take one command out of such a run, and everything that
comes after it draws other numbers: another run. So a run that is to be taken apart (``shrink``) is recorded: each concern (an actor, one way of
a link, a session) has a stream, which draws from the one generator as before and keeps what it drew on a tape of its own. Played back, each
concern hears its own tape, whatever became of the others, and draws on by itself where the tape ends.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

Tape = dict[int, list[float]]
"""What one concern drew: ``{bits: integers of so many bits, in order}``, and under 0 the floats."""


class Streams:
    """One generator for every concern."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.shared = random.Random(seed)

    def of(self, concern: str) -> random.Random:  # noqa: ARG002 - recordings tell concerns apart
        """Return a concern's generator."""
        return self.shared

    def apart(self, concern: str) -> random.Random:
        """Return a generator of its own for a concern that only some worlds have: what it draws changes nothing that the others draw."""
        return random.Random(f"{concern} {self.seed}")


class RecordedStreams(Streams):
    """The same numbers, and the tapes of who drew which."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.tapes: dict[str, Tape] = {}

    def of(self, concern: str) -> random.Random:
        """Return a concern's generator."""
        return _Recording(self.shared, self.tapes.setdefault(concern, {}))


class PlayedStreams(Streams):
    """Tapes, each played to its concern.

    Args:
        seed: of the run that was recorded; decides what comes where a tape ends.
        tapes: ``{concern: its tape}``.
        variant: 0: the tapes; another number: other chance altogether, the same for the same number.
    """

    def __init__(self, seed: int, tapes: dict[str, Tape], variant: int = 0) -> None:
        super().__init__(seed)
        self._made: dict[str, random.Random] = {}
        self._tapes = {} if variant else tapes
        self._name: Callable[[str], str] = lambda concern: f"{seed} {concern} {variant}"

    def of(self, concern: str) -> random.Random:
        """Return a concern's generator."""
        if concern not in self._made:
            self._made[concern] = _Playing(self._tapes.get(concern, {}), random.Random(self._name(concern)))
        return self._made[concern]


class _Recording(random.Random):
    """Draws from another generator, and writes down what."""

    def __init__(self, source: random.Random, tape: Tape) -> None:
        super().__init__(0)
        self._source, self._tape = source, tape

    def random(self) -> float:
        drawn = self._source.random()
        self._tape.setdefault(0, []).append(drawn)
        return drawn

    def getrandbits(self, k: int, /) -> int:
        drawn = self._source.getrandbits(k)
        self._tape.setdefault(k, []).append(drawn)
        return drawn


class _Playing(random.Random):
    """Draws what is on a tape, then from a generator."""

    def __init__(self, tape: Tape, rest: random.Random) -> None:
        super().__init__(0)
        self._left = {bits: iter(drawn) for bits, drawn in tape.items()}
        self._rest = rest

    def random(self) -> float:
        drawn = next(self._left.get(0, iter(())), None)
        return self._rest.random() if drawn is None else drawn

    def getrandbits(self, k: int, /) -> int:
        drawn = next(self._left.get(k, iter(())), None)
        return self._rest.getrandbits(k) if drawn is None else int(drawn)
