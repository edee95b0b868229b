"""What a profile says: the key findings, and what it rules out. Rules with their thresholds in the open, no opinions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from triskele.profile.areas import AREAS, OTHER

if TYPE_CHECKING:
    from collections.abc import Sequence

    Result = dict[str, Any]
    Process = dict[str, Any]

BUSY = 0.9
"""From this share of a core, or of all cores, on, processor time is what limits."""
HALF = 0.5
"""A process that wants a core for less of the time is not held up by busy cores."""
SMALL = 0.05
"""Below this share of a process's time nothing that became free would be noticed."""
PAUSE_SECONDS = 0.020
"""Turns should not be longer; a collection inside one makes it so."""
LARGEST = 3


def key_findings(result: Result) -> list[str]:
    """Return what matters most, a sentence each."""
    processes: Sequence[Process] = result["processes"]
    cores = result["machine"]["cores"]
    busiest = max(processes, key=_busy)
    used = sum(process["cpu_seconds"] / process["wall_seconds"] for process in processes)
    found = [f"{_limit(result, busiest, used, cores)}"]
    for process in processes:
        largest = sorted(process["areas"].items(), key=lambda item: -item[1])[:LARGEST]
        named = ", ".join(f"{area} {share:.0%}" for area, share in largest if share)
        per_operation = process["cpu_us_per_operation"]
        cost = "" if per_operation is None else f", {per_operation:.2f} us per operation"
        role = f" ({process['role']})" if process["role"] not in process["name"] else ""
        found.append(f"{process['name']}{role}: {_busy(process):.0%} of a core{cost}; {named or 'no samples'}")
    return found


def _busy(process: Process) -> float:
    """Return a process's use of a core; of several, their mean."""
    return float(process["cpu_seconds"] / (process["wall_seconds"] * process["processes"]))


def _wanted(process: Process) -> float:
    """Return the share of the time in which a process ran or would have run, had it had a core; all of it where nobody counts the latter."""
    whole = process["wall_seconds"] * process["processes"]
    return _busy(process) + process["waiting_seconds"] / whole if process["waiting_seconds"] is not None else 1.0


def cores_are_short(result: Result) -> bool:
    """Whether processes of ours wanted cores that were busy."""
    return bool(result["machine_idle"] <= 1 - BUSY and max(map(_wanted, result["processes"])) >= HALF)


def _limit(result: Result, busiest: Process, used: float, cores: int) -> str:
    """Say what sets the pace."""
    together = f"the profiled processes used {used:.2f} of {cores} cores, the machine was {result['machine_idle']:.0%} idle"
    if _busy(busiest) >= BUSY:
        return f"**Bound by the processor time of {busiest['name']}**: it kept a core {_busy(busiest):.0%} busy; {together}"
    if cores_are_short(result):
        others = cores * (1 - result["machine_idle"]) - used
        strangers = f", of which {others:.2f} cores went to others" if others > SMALL * cores else ""
        alone = f"no process kept a core busy by itself ({busiest['name']} {_busy(busiest):.0%})"
        return f"**Bound by processor time, shared**: {alone}, but {together}{strangers}"
    most = f"the busiest process, {busiest['name']}, used {_busy(busiest):.0%} of a core"
    return f"**Not bound by processor time**: {most}; {together}; waiting sets the pace"


def harmless(result: Result) -> list[str]:
    """Return what cannot be what limits, with the figures that say so."""
    processes: Sequence[Process] = result["processes"]
    found = []
    if unseen := [process["name"] for process in processes if not process["samples"]]:
        found.append(f"of areas and functions of {', '.join(unseen)} nothing can be said: too little processor time for a sample")
    for area in AREAS:
        shares = {process["name"]: process["areas"][area] for process in processes if process["samples"]}
        if area != OTHER and max(shares.values(), default=1.0) < SMALL:
            most = max(shares, key=lambda name: shares[name])
            found.append(f"{area}: at most {shares[most]:.1%} of a process's time ({most}); were it free, nobody would notice")
    for process in processes:
        collector = process["collector"]
        paused = collector["seconds"] / (process["wall_seconds"] * process["processes"])
        if paused < SMALL and collector["pause_seconds_max"] < PAUSE_SECONDS:
            longest = f"{collector['pause_seconds_max'] * 1e3:.1f} ms"
            found.append(f"the collector of {process['name']}: pauses {paused:.2%} of the time, the longest {longest}")
        if _busy(process) < HALF and not cores_are_short(result):
            found.append(f"processor time of {process['name']}: it used {_busy(process):.0%} of a core")
    if not cores_are_short(result):
        found.append(f"the number of cores: the machine was {result['machine_idle']:.0%} idle")
    return found
