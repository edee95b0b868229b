"""What many seeds showed together, and whether that means anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from tests.sim.strikes import DISKS_FAILED

if TYPE_CHECKING:
    from tests.sim.run import Report

COMMANDS_MIN = 1000
"""Completed commands of a seed, on average."""
STORM_COMMANDS_MIN = 300
"""Likewise in a storm: a third of what most of them ask for."""
CHANGES_MIN = 1.0
"""Leader changes of a seed, on average."""
JUDGED_MIN = 100
"""Averages of fewer seeds are chance."""
VACUOUS_SHARE = 0.1
"""Seeds that show little, at most."""


@attrs.define
class Tally:
    """Sums up the reports of a run of seeds."""

    seeds: int
    """How many there will be."""
    failed: list[Report] = attrs.Factory(list)
    done: int = 0
    little: int = 0
    """Seeds that show little."""
    completed: int = 0
    changes: int = 0
    led_by_one: int = 0
    """Seeds in which no other replica ever led."""
    fast: int = 0
    slow: int = 0
    faults: int = 0
    drifts: int = 0
    """Seeds with clocks that are wrong."""
    closed: int = 0
    expired: int = 0
    """Sessions that ended so."""
    disks: int = 0
    """Seeds in which a disk failed and ended its process."""

    def add(self, report: Report) -> None:
        """Count a seed."""
        self.done += 1
        self.little += bool(report.vacuous)
        self.completed += report.completed
        self.changes += report.leader_changes
        self.led_by_one += not report.leader_changes
        self.fast, self.slow, self.faults = self.fast + report.fast, self.slow + report.slow, self.faults + report.faults
        self.drifts += report.drift
        self.closed, self.expired = self.closed + report.closed, self.expired + report.expired
        self.disks += dict(report.struck).get(DISKS_FAILED, 0) > 0
        if not report.passed:
            self.failed.append(report)

    def line(self) -> str:
        """Say it in one line."""
        seeds, share = max(1, self.done), self.fast / max(1, self.fast + self.slow)
        return (
            f"{self.done}/{self.seeds} seeds, {len(self.failed)} failed, {self.little} vacuous; a seed: {self.completed / seeds:.0f} commands, "
            f"{self.changes / seeds:.1f} leader changes (none in {self.led_by_one}), {self.faults / seeds:.0f} faults "
            f"(wrong clocks in {self.drifts}, disks failed in {self.disks}), "
            f"{self.closed / seeds:.1f} sessions closed and {self.expired / seeds:.1f} expired; "
            f"{share:.0%} of strong commands fast"
        )

    @property
    def vacuous(self) -> str:
        """Say why these seeds prove little; empty when they do prove something, or are too few to say."""
        if self.done < JUDGED_MIN:
            return ""
        if self.completed < COMMANDS_MIN * self.done:
            return f"{self.completed / self.done:.0f} commands completed on average, {COMMANDS_MIN} are wanted"
        if self.changes < CHANGES_MIN * self.done:
            return f"{self.changes / self.done:.2f} leader changes on average, {CHANGES_MIN} are wanted"
        if not (self.closed and self.expired):
            return f"{self.closed} sessions were closed and {self.expired} expired: some of each are wanted"
        if not (self.drifts and self.disks):
            return f"clocks were wrong in {self.drifts} seeds and disks failed in {self.disks}: some of each are wanted"
        return self._share_of_little

    @property
    def vacuous_storm(self) -> str:
        """Likewise of a storm, however few its seeds: all ask for about as much, and what strikes is the same in each."""
        if self.completed < STORM_COMMANDS_MIN * self.done:
            return f"{self.completed / self.done:.0f} commands completed on average, {STORM_COMMANDS_MIN} are wanted"
        return self._share_of_little

    @property
    def _share_of_little(self) -> str:
        return f"{self.little} of {self.done} seeds show little" if self.little > VACUOUS_SHARE * self.done else ""
