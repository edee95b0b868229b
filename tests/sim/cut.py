"""What is left of a seed's run: which faults, commands and sessions, for how long, and without what. Short enough for a command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.sim.options import Options
    from tests.sim.plan import Asked, Plan

Places = tuple[int, ...]


def _calm_links(name: str) -> Callable[[Options], Options]:
    return lambda options: attrs.evolve(options, faults=attrs.evolve(options.faults, **{name: 0.0}))  # type: ignore[arg-type]


SIMPLER: dict[str, Callable[[Options], Options]] = {
    "loss": _calm_links("loss"),
    "duplication": _calm_links("duplication"),
    "reordering": _calm_links("reordering"),
    "encore": lambda options: attrs.evolve(options, encore=0),
    "snapshots": lambda options: attrs.evolve(options, snapshot_share=0.0),
    "gathering": lambda options: attrs.evolve(options, turn_seconds=0.0),
    "slow-syncs": lambda options: attrs.evolve(options, sync_seconds=0.0),
    "drift": lambda options: attrs.evolve(options, drift=1.0),
    "budgets": lambda options: attrs.evolve(options, apply_commands=1 << 30, apply_seconds=0.0),
}
"""What a world can do without: ``{name: the world without it}``."""


@attrs.frozen
class Cut:
    """What to keep of a plan; None: all of it."""

    faults: Places | None = None
    """Places in the plan's list."""
    commands: Places | None = None
    """Commands and reads, counted through all submissions."""
    sessions: Places | None = None
    calm: float | None = None
    """Virtual seconds after which no fault strikes."""
    earlier: float = 0.0
    """Everything happens so many seconds earlier."""
    without: tuple[str, ...] = ()
    variant: int = 0
    """Of chance, see ``PlayedStreams``."""

    def apply(self, plan: Plan) -> Plan:
        """Return what is left of a plan."""
        options = plan.options
        for name in self.without:
            options = SIMPLER[name](options)
        if self.calm is not None:
            options = attrs.evolve(options, fault_seconds=self.calm)
        faults = plan.faults if self.faults is None else tuple(plan.faults[place] for place in self.faults)
        asked = self._asked(plan)
        if self.earlier:
            faults = tuple(attrs.evolve(fault, at=max(0.0, fault.at - self.earlier)) for fault in faults)
            asked = tuple(attrs.evolve(one, at=max(0.0, one.at - self.earlier)) for one in asked)
        sessions = plan.sessions if self.sessions is None else frozenset(self.sessions)
        return attrs.evolve(plan, options=options, faults=faults, asked=asked, sessions=sessions, variant=self.variant)

    def _asked(self, plan: Plan) -> tuple[Asked, ...]:
        kept = None if self.commands is None else set(self.commands)
        sessions = None if self.sessions is None else set(self.sessions)
        left, end = [], 0
        for one in plan.asked:
            start, end = end, end + len(one)
            places = [place for place in range(len(one)) if kept is None or start + place in kept]
            if places and (sessions is None or one.session in sessions):
                left.append(one if len(places) == len(one) else one.only(places))
        return tuple(left)

    def words(self) -> list[str]:
        """Return it as words of a command line."""
        told = [(name, value) for name in ("faults", "commands", "sessions") if (value := getattr(self, name)) is not None]
        words = [f"{name}={_ranges(places)}" for name, places in told]
        words += [f"calm={self.calm!r}"] if self.calm is not None else []
        words += [f"earlier={self.earlier!r}"] if self.earlier else []
        words += [f"without={','.join(self.without)}"] if self.without else []
        return words + ([f"variant={self.variant}"] if self.variant else [])

    @classmethod
    def parse(cls, words: Iterable[str]) -> Self:
        """Read what ``words`` wrote.

        Raises:
            ValueError: it did not write this.
        """
        found: dict[str, object] = {}
        for word in words:
            name, _, value = word.partition("=")
            if name in {"faults", "commands", "sessions"}:
                found[name] = tuple(_places(value))
            elif name in {"calm", "earlier"}:
                found[name] = float(value)
            elif name == "variant":
                found[name] = int(value)
            elif name == "without" and set(value.split(",")) <= set(SIMPLER):
                found[name] = tuple(value.split(","))
            else:
                raise ValueError(f"nothing to keep or leave out: {word!r}")
        return cls(**found)  # type: ignore[arg-type]


def _ranges(places: Places) -> str:
    """Write ``(1, 2, 3, 7)`` as ``1-3,7``."""
    parts: list[list[int]] = []
    for place in sorted(places):
        if parts and place == parts[-1][1] + 1:
            parts[-1][1] = place
        else:
            parts.append([place, place])
    return ",".join(str(first) if first == last else f"{first}-{last}" for first, last in parts)


def _places(text: str) -> Iterable[int]:
    for part in text.split(",") if text else ():
        first, _, last = part.partition("-")
        yield from range(int(first), int(last or first) + 1)
