"""A run told for a person: what goes wrong, what is asked for and answered, and who leads, in order, with virtual times."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.sim.shrink import property_of, replay

if TYPE_CHECKING:
    from tests.sim.options import Options
    from tests.sim.plan import Plan
    from tests.sim.shrink import Shrinking

LINES_MAX = 150
FRAME = re.compile(r" *[\d.]+ ms  \S+ > ")
ASKED = re.compile(r"(.*) invoked at [\d.]+ ms \(no answer\)$")


def scenario(plan: Plan) -> list[str]:
    """Run a plan and tell it, without its frames; a long one without its middle."""
    lines: list[str] = []
    report = replay(plan, lines.append)
    told = [world(plan), *(ASKED.sub(r"\1 ?", line) for line in lines if not FRAME.match(line))]
    if len(told) > LINES_MAX:
        half = LINES_MAX // 2
        told = [*told[:half], f"      ... {len(told) - 2 * half} lines ...", *told[-half:]]
    return [*told, *(report.failure or "nothing failed").splitlines()]


def world(plan: Plan) -> str:
    """Say what the world of a run is like, in one line."""
    options = plan.options
    parts = [
        f"{options.mode}, {options.replicas} replicas", "disks" if options.core.durable else "no disks", f"sessions {sorted(plan.sessions)}",
        f"frames take {1000 * options.delays[0]:.2g} to {1000 * options.delays[1]:.2g} ms", f"faults until {1000 * options.fault_seconds:.4g} ms",
        *_shares(options),
    ]  # fmt: skip
    return ", ".join(parts)


def _shares(options: Options) -> list[str]:
    faults = options.faults
    shares = {"lost": faults.loss, "doubled": faults.duplication, "out of order": faults.reordering}
    told = [f"{share:.1%} {name}" for name, share in shares.items() if share]
    if options.sync_seconds:
        told.append(f"syncs take up to {1000 * options.sync_seconds:.2g} ms")
    if options.drift != 1.0:
        told.append(f"clocks run up to {options.drift:g} times as fast or as slowly")
    return told


def summary(shrinking: Shrinking) -> str:
    """Say in one line what a run was and what is left of it."""
    plan, left = shrinking.plan, shrinking.left
    return (
        f"{property_of(shrinking.whole.failure)}: {len(plan.faults)} -> {len(left.faults)} faults, {plan.commands} -> {left.commands} commands, "
        f"{len(plan.sessions)} -> {len(left.sessions)} sessions, {shrinking.whole.virtual_seconds:.2f} -> {shrinking.report.virtual_seconds:.2f} s "
        f"of virtual time; {shrinking.tries} runs in {shrinking.took:.0f} s"
    )
