"""What a checker says: a verdict, and where a promise was broken the few operations that show it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import attrs

from loadgen.checkers.operation import NEVER, Operation

if TYPE_CHECKING:
    from collections.abc import Sequence

YES: Final = "yes"
NO: Final = "no"
UNKNOWN: Final = "unknown"

PROPERTIES: Final = ("linearizable", "sessions", "causal", "hybrid", "exactly-once")
"""In the order in which they are reported."""

SHOWN_MAX: Final = 40
"""Operations of a counterexample that are told; hardly ever are there so many."""

Arrow = tuple[Operation, Operation, str]
"""From an operation to one that must come after it, and why."""


@attrs.frozen(eq=False)
class Counterexample:
    """Why a promise was broken.

    Attributes:
        pattern: what kind of violation it is: its name in the literature, or in our own words.
        why: one sentence about these operations.
        operations: the few that show it, none of which could be left out.
        arrows: how they are ordered, where that is the point.
    """

    pattern: str
    why: str
    operations: Sequence[Operation]
    arrows: Sequence[Arrow] = ()

    def lines(self) -> list[str]:
        """Return it for a terminal."""
        names = self.names()
        width = max(len(name) for name in names.values())
        operations = sorted(self.operations, key=lambda each: each.invoked)
        shown = [f"{self.pattern}: {self.why}"]
        shown += [f"  {names[operation.place]:<{width}}  {operation}{_interval(operation)}" for operation in operations[:SHOWN_MAX]]
        if len(operations) > SHOWN_MAX:
            shown.append(f"  … and {len(operations) - SHOWN_MAX} more: there was no time to leave out what can be left out")
        shown += [f"  {names[a.place]} before {names[b.place]}: {why}" for a, b, why in self.arrows]
        return shown

    def names(self) -> dict[int, str]:
        """Return a short name for each operation, by place: a, b, c … in order of invocation."""
        places = sorted(operation.place for operation in self.operations)
        return {place: _name(number) for number, place in enumerate(places)}

    def as_json(self) -> dict[str, Any]:
        """Return it for programs; operations are told by their line."""
        operations = sorted(self.operations, key=lambda each: each.invoked)
        return {
            "pattern": self.pattern,
            "why": self.why,
            "operations": [{"line": operation.line, "process": str(operation.process), "text": str(operation)} for operation in operations],
            "order": [[a.line, b.line, why] for a, b, why in self.arrows],
        }


@attrs.frozen(eq=False)
class Verdict:
    """Of one property.

    Attributes:
        property: one of ``PROPERTIES``.
        answer: ``YES``, ``NO`` or ``UNKNOWN``.
        checked: how many operations it looked at.
        counterexample: where the answer is no.
        reason: where it is unknown.
    """

    property: str
    answer: str
    checked: int
    counterexample: Counterexample | None = None
    reason: str = ""


def judged(name: str, checked: int, found: Counterexample | None) -> Verdict:
    """Return the verdict of a checker that found something or nothing."""
    return Verdict(name, NO if found else YES, checked, found)


def _interval(operation: Operation) -> str:
    if not operation.invoked_at:
        return ""
    start = f"{operation.invoked_at / 1e6:.3f}"
    return f"  [{start} to {operation.returned_at / 1e6:.3f} ms]" if operation.returned != NEVER else f"  [from {start} ms]"


def _name(number: int) -> str:
    letters = ""
    number += 1
    while number:
        number, letter = divmod(number - 1, 26)
        letters = chr(ord("a") + letter) + letters
    return letters
