"""The kinds of fault, by the names Jepsen gives them where it has one, and what those of the network do to which way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import attrs

from triskele.chaos.kinds import KINDS
from triskele.chaos.network import CLIENTS, Effect, Way, ways_between

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

Where = Literal["process", "network", "disk"]


@attrs.frozen(kw_only=True)
class Nemesis:
    """A kind of fault.

    Attributes:
        name: As a user gives it.
        where: What it befalls.
        targets: Of whom it may be drawn: ``leader``, ``follower``, ``one`` (a replica), ``all``, ``halves`` (a smaller half and the others).
        strengths: Seconds, from and to, for what has a strength: a delay, the time between two cuts.
        replicas_min: With fewer replicas it would be another one.
    """

    name: str
    where: Where
    targets: tuple[str, ...]
    strengths: tuple[float, float] = (0.0, 0.0)
    replicas_min: int = 2

    @property
    def says(self) -> str:
        """What it does, for the report."""
        return KINDS[self.name]


_ANY: Final = ("leader", "leader", "one", "all")
"""Leaders are worth most; all at once is rarer."""

NEMESES: Final = {
    nemesis.name: nemesis
    for nemesis in (
        Nemesis(name="kill", where="process", targets=_ANY),
        Nemesis(name="pause", where="process", targets=_ANY),
        Nemesis(name="partition-one", where="network", targets=("leader", "one")),
        Nemesis(name="partition-halves", where="network", targets=("halves",)),
        Nemesis(name="partition-majorities-ring", where="network", targets=("all",), replicas_min=5),
        Nemesis(name="partition-clients", where="network", targets=("leader", "one")),
        Nemesis(name="bridge", where="network", targets=("follower",), replicas_min=3),
        Nemesis(name="half-open", where="network", targets=("leader", "one")),
        Nemesis(name="slow-net", where="network", targets=("all", "leader", "one"), strengths=(0.02, 0.3)),
        Nemesis(name="flaky", where="network", targets=("all", "leader", "one"), strengths=(0.05, 0.5)),
        Nemesis(name="reorder", where="network", targets=("all", "leader"), strengths=(0.02, 0.2)),
        Nemesis(name="slow-disk", where="disk", targets=_ANY, strengths=(0.02, 0.5)),
        Nemesis(name="disk-error", where="disk", targets=_ANY),
        Nemesis(name="disk-full", where="disk", targets=_ANY),
    )
}

ENDING: Final = frozenset({"kill", "disk-error", "disk-full"})
"""Those that end processes."""

TRACED: Final = frozenset({"slow-disk", "disk-error"})
"""Those that need strace."""

HOLDING: Final = frozenset({"partition-one", "partition-halves", "partition-majorities-ring", "partition-clients", "bridge", "half-open"})
"""Those that hold new connections up."""


def chosen(words: Sequence[str]) -> list[str]:
    """Return the nemeses that words name: a name, or the beginning of several (``partition``).

    Raises:
        ValueError: A word names none; it is the exception's argument.
    """
    found: list[str] = []
    for word in words:
        named = [name for name in NEMESES if name == word or name.startswith(f"{word}-")]
        if not named:
            raise ValueError(word)
        found += [name for name in named if name not in found]
    return found


def effects(name: str, hit: Sequence[int], replicas: Sequence[int], strength: float, *, outgoing: bool) -> Mapping[Way, Effect]:
    """Return what a nemesis of the network does to each way while it lasts.

    Args:
        name: Which one.
        hit: Replicas that it hit.
        replicas: All of them.
        strength: As drawn.
        outgoing: Of ``half-open``: what those that were hit say vanishes, else what they are told.
    """
    others = [replica for replica in replicas if replica not in hit]
    match name:
        case "partition-one" | "partition-halves":
            return dict.fromkeys(ways_between(hit, others), Effect(stalled=True))
        case "partition-clients":
            return dict.fromkeys(ways_between([CLIENTS], hit), Effect(stalled=True))
        case "partition-majorities-ring":
            return dict.fromkeys(_ring(replicas), Effect(stalled=True))
        case "bridge":
            half = len(others) // 2
            return dict.fromkeys(ways_between(others[:half], others[half:]), Effect(stalled=True))
        case "half-open":
            ways = [(one, other) if outgoing else (other, one) for one in hit for other in others]
            return dict.fromkeys(ways, Effect(swallowed=True))
        case "slow-net":
            return dict.fromkeys(lines_of(hit, replicas), Effect(delay_seconds=strength / 2, spread_seconds=strength))
        case "reorder":
            return dict.fromkeys(lines_of(hit, replicas), Effect(spread_seconds=2 * strength))
        case _:
            return {}


def lines_of(hit: Collection[int], replicas: Sequence[int]) -> set[Way]:
    """Return all ways from and to replicas, those of clients among them."""
    return ways_between(hit, [*replicas, CLIENTS])


def _ring(replicas: Sequence[int]) -> set[Way]:
    """Return the ways that are closed where each replica hears only its nearest neighbours, as many as make a majority with it."""
    count, reach = len(replicas), (len(replicas) // 2 + 1) // 2
    near = {frozenset((place, (place + step) % count)) for place in range(count) for step in range(1, reach + 1)}
    far = [(one, other) for one in range(count) for other in range(count) if one != other and frozenset((one, other)) not in near]
    return {(replicas[one], replicas[other]) for one, other in far}
