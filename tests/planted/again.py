"""Looks for a planted bug where a change of the cores has moved it away from its recorded seed.

Chance falls otherwise after such a change, and no promise is broken by that: other seeds of the same mode and size are looked through.  What finds
the bug must break the rule that is recorded all the same, and that the seed moved is said, so that the record (and docs/planted.md) can follow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sim.planted import RECORDED
from tests.sim.run import run_seed

if TYPE_CHECKING:
    from tests.sim.run import Report

WORLDS = 8
"""Modes and sizes take turns."""
OTHERS_MAX = 40
"""Other seeds to look through."""


def find_again(bug: str, others: int = OTHERS_MAX) -> Report | None:
    """Return the first run that fails as recorded with a bug planted: the recorded seed's, or else one of so many others."""
    recorded, said = RECORDED[bug]
    first = recorded % WORLDS or WORLDS
    seeds = [seed for seed in range(first, first + WORLDS * (others + 1), WORLDS) if seed != recorded]
    for seed in (recorded, *seeds[:others]):
        report = run_seed(seed, None, None, bug)
        if said in report.failure:
            return report
    return None


def moved(bug: str, found: Report | None) -> str:
    """Say what to do about a bug's record; empty if its recorded seed finds it."""
    recorded, said = RECORDED[bug]
    if found is None:
        return f"{bug}: neither seed {recorded} nor {OTHERS_MAX} others say {said!r}"
    if found.seed == recorded:
        return ""
    return f"{bug}: seed {recorded} does not say {said!r} any more, seed {found.seed} does: record that one (tests/sim/planted*.py)"


def say_moved(bug: str) -> str:
    """Look for a bug and say where it is; worker processes find this by its name."""
    return moved(bug, find_again(bug))
