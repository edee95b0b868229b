"""A schedule of faults, drawn from a seed: the same seed, settings and version give the same one.

Nemeses come as from a deck of cards: each once, in an order by chance, before one comes again.  After most faults there is a calm in which the
cluster must serve; now and then the next one begins while the last still lasts, if it can be felt: what is done to a process that is dead, or to
its connections, is not, but a line on which nothing passes holds up whoever lives and dials.  Whom ``leader`` and ``follower`` mean is seen only
when the fault strikes.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import attrs

from triskele.chaos.nemeses import ENDING, HOLDING, NEMESES

if TYPE_CHECKING:
    from collections.abc import Sequence


FORGETFUL_CALM_SECONDS = 4.0
"""What a replica that forgot all needs until it counts again; one that ended before that would be one too many."""


@attrs.frozen(kw_only=True)
class Pace:
    """How faults follow each other; seconds, from and to.

    Attributes:
        steady: Of load before the first.
        lasts: A fault.
        calm: After a fault.
        tail: After the last one.
        overlap: How often a fault begins before the last one is over, 0 to 1.
    """

    steady: float = 2.0
    lasts: tuple[float, float] = (1.0, 5.0)
    calm: tuple[float, float] = (1.5, 3.5)
    tail: float = 8.0
    overlap: float = 0.2

    @classmethod
    def within(cls, seconds: float) -> Pace:
        """Return the usual pace, quicker for a run that is shorter than a minute."""
        usual, share = cls(), min(1.0, max(seconds, 6.0) / 60)
        share = max(share, 0.3)

        def scaled(span: tuple[float, float]) -> tuple[float, float]:
            return span[0] * share, span[1] * share

        return cls(steady=max(1.0, usual.steady * share), lasts=scaled(usual.lasts), calm=scaled(usual.calm), tail=max(3.0, usual.tail * share))


@attrs.frozen(kw_only=True)
class Fault:
    """One fault of a schedule.

    Attributes:
        number: In the schedule, from 1.
        at: Seconds after the load began.
        lasts: Seconds.
        nemesis: Its kind.
        target: ``leader``, ``follower``, ``all``, or ids: ``0`` or ``0,2``.
        strength: Seconds, as its kind means it; 0 where it has none.
        outgoing: Of ``half-open``, which direction.
    """

    number: int
    at: float
    lasts: float
    nemesis: str
    target: str
    strength: float = 0.0
    outgoing: bool = True

    @property
    def ends(self) -> float:
        """Seconds after the load began."""
        return self.at + self.lasts

    def as_json(self) -> dict[str, Any]:
        """Return it for the report."""
        return attrs.asdict(self)

    def words(self) -> str:
        """Tell it in a few words: ``slow-net of all, 0.12 s``."""
        strength = f", {self.strength:.2f} s" if self.strength else ""
        way = f", {'outgoing' if self.outgoing else 'incoming'}" if self.nemesis == "half-open" else ""
        return f"{self.nemesis} of {self.target}{strength}{way}"


def draw(seed: int, replicas: int, seconds: float, nemeses: Sequence[str], pace: Pace, *, forgetful: bool = False) -> list[Fault]:
    """Draw a schedule; empty if there is no time for a fault.

    Args:
        seed: Of everything.
        replicas: How many there are, ids 0, 1, ….
        seconds: Of the whole run.
        nemeses: Kinds to draw from; those that need more replicas are left out.
        pace: How they follow each other.
        forgetful: Replicas forget all when their process ends: never of several at once.
    """
    chance = random.Random(f"chaos/{seed}")
    fit = [name for name in nemeses if NEMESES[name].replicas_min <= replicas and replicas > 1]
    deck: list[str] = []
    faults: list[Fault] = []
    while fit:
        deck = deck or chance.sample(fit, len(fit))
        name, lasts = deck.pop(), chance.uniform(*pace.lasts)
        at = _beginning(chance, faults, name, pace, forgetful=forgetful)
        if at + lasts > seconds - pace.tail:
            break
        faults.append(_fault(chance, len(faults) + 1, at, lasts, name, replicas, forgetful=forgetful))
    return faults


def _beginning(chance: random.Random, faults: Sequence[Fault], name: str, pace: Pace, *, forgetful: bool) -> float:
    """Draw when the next fault begins."""
    if not faults:
        return pace.steady
    early = faults[-1].at + faults[-1].lasts * chance.uniform(0.2, 0.8)
    late = max(fault.ends for fault in faults) + chance.uniform(*pace.calm) + (FORGETFUL_CALM_SECONDS if forgetful else 0.0)
    overlaps = chance.random() < pace.overlap and not forgetful
    standing = {fault.target for fault in faults if fault.ends > early and NEMESES[fault.nemesis].where != "network"}
    felt = not standing or (name in HOLDING and "all" not in standing)
    return early if overlaps and felt else late


def _fault(chance: random.Random, number: int, at: float, lasts: float, name: str, replicas: int, *, forgetful: bool) -> Fault:
    nemesis = NEMESES[name]
    target = chance.choice([one for one in nemesis.targets if not (forgetful and name in ENDING and one == "all")])
    if target == "one":
        target = str(chance.randrange(replicas))
    elif target == "halves":
        size = chance.randint(1, (replicas - 1) // 2) if replicas > 2 else 1  # noqa: PLR2004 - of two, one
        target = ",".join(map(str, sorted(chance.sample(range(replicas), size))))
    strength = round(chance.uniform(*nemesis.strengths), 3)
    return Fault(
        number=number, at=round(at, 3), lasts=round(lasts, 3), nemesis=name, target=target, strength=strength, outgoing=chance.random() < 0.5  # noqa: PLR2004
    )  # fmt: skip
