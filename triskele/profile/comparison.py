"""Tells what moved between two profiles: rates, costs per operation, areas and functions, and which moves are larger than chance."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from replica.config import SettingError
from triskele.profile.analysis import SYSCALLS, error_of
from triskele.profile.areas import AREAS
from triskele.profile.document import Heading, Paragraph, Table
from triskele.profile.folder import RESULT
from triskele.profile.sections import figure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from triskele.profile.document import Block

    Result = dict[str, Any]
    Process = dict[str, Any]

ROLES = ("leader", "follower", "client")
TOP = 20
PER_OPERATION = "us/operation"
ERRORS = 2.0
"""A move is told as one when it is larger than so many standard errors."""


def comparable(result: Result, folder: Path, written: str) -> Result:
    """Return a result that ``compare`` can take: by letting it compare the result with itself.

    Raises:
        SettingError: It is not what its schema says.
    """
    try:
        compare(result, result, ("", ""))
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise SettingError(written, folder, f"{RESULT} is not what its schema says: {type(error).__name__} {error}") from error
    return result


def compare(old: Result, new: Result, names: tuple[str, str]) -> list[Block]:
    """Return what moved from one result to the other (schema ``triskele.profile/1``)."""
    return [
        Heading(f"Profiles: {names[0]} → {names[1]}", 1),
        *_differences(old, new),
        Heading("The run"),
        Table(["", "before", "after", "change"], _run_rows(old, new)),
        *(block for role in ROLES for block in _role(role, _of_role(old, role), _of_role(new, role))),
    ]


def _differences(old: Result, new: Result) -> Iterator[Block]:
    """Warn of what makes two profiles hard to compare."""
    machines = old["machine"], new["machine"]
    reasons = [
        f"{name} {machines[0][name]} and {machines[1][name]}" for name in ("processor", "cores", "python") if machines[0][name] != machines[1][name]
    ]
    if bool(old["load"]) != bool(new["load"]):
        reasons.append("load of our own in one of them only")
    elif old["load"] and new["load"]:
        ignored = {"seed", "json", "html", "csv", "history", "quiet", "cluster", "seconds"}
        before, after = old["load"]["settings"], new["load"]["settings"]
        reasons += [
            f"{name} {before[name]} and {after[name]}" for name in after if name in before and name not in ignored and before[name] != after[name]
        ]
    if reasons:
        yield Paragraph("They were not measured alike: " + "; ".join(reasons) + ".")


def _run_rows(old: Result, new: Result) -> list[list[str]]:
    rows = []
    if old["load"] and new["load"]:
        rows.append(_row("operations/s", old["load"]["throughput_per_second"], new["load"]["throughput_per_second"], 0))
        for kind in ("strong", "causal"):
            before, after = (result["load"]["latency_ms"][kind].get("p50") for result in (old, new))
            if before and after:
                rows.append(_row(f"{kind} p50, ms", before, after, 3))
    rows.append(_row("machine idle, %", 100 * old["machine_idle"], 100 * new["machine_idle"], 1))
    return rows


def _row(name: str, before: float | None, after: float | None, digits: int) -> list[str]:
    change = f"{after / before - 1:+.1%}" if before and after is not None else "-"
    return [name, figure(before, digits), figure(after, digits), change]


def _of_role(result: Result, role: str) -> list[Process]:
    return [process for process in result["processes"] if process["role"] == role]


def _role(role: str, old: Sequence[Process], new: Sequence[Process]) -> Iterator[Block]:
    """Compare the processes of a role; several followers are taken together."""
    if not old or not new:
        return
    unit, scales = _scales(old, new)
    yield Heading(f"{role}: costs" if len(old) == len(new) == 1 else f"{role}s: costs, means of {len(old)} and {len(new)}")

    def add(name: str, digits: int, value: Callable[[Process], float], scaled: tuple[float, float] = (1.0, 1.0)) -> None:
        before, after = (scale * _mean(side, value) for scale, side in zip(scaled, (old, new), strict=True))
        rows.append(_row(name, before, after, digits))

    rows: list[list[str]] = []
    add("cpu, % of a core", 1, lambda one: 100 * one["cpu_seconds"] / one["wall_seconds"] / one["processes"])
    if unit == PER_OPERATION:
        rows.append(_row(f"cpu, {unit}", *scales, 2))
    for area in AREAS:
        add(f"{area}, {unit}", 2, lambda one, area=area: one["areas"][area], scales)  # type: ignore[misc]
    if all(one["operations"] and one["calls"] for one in (*old, *new)):
        for kind in SYSCALLS:
            add(f"{kind} calls/operation", 4, lambda one, kind=kind: one["calls_per_operation"][kind])  # type: ignore[misc]
    add("longest collector pause, ms", 2, lambda one: 1e3 * one["collector"]["pause_seconds_max"])
    yield Table(["", "before", "after", "change"], rows)
    yield from _functions(role, (old, new), scales, unit)


def _scales(old: Sequence[Process], new: Sequence[Process]) -> tuple[str, tuple[float, float]]:
    """Return in what to tell shares, and by what to multiply each side's: cost per operation where that is known."""
    if all(one["cpu_us_per_operation"] for one in (*old, *new)):
        return PER_OPERATION, (_mean(old, lambda one: one["cpu_us_per_operation"]), _mean(new, lambda one: one["cpu_us_per_operation"]))
    return "% of its cpu", (100.0, 100.0)


def _mean(side: Sequence[Process], value: Callable[[Process], float]) -> float:
    return float(sum(value(one) for one in side) / len(side))


def _functions(role: str, sides: tuple[Sequence[Process], Sequence[Process]], scales: tuple[float, float], unit: str) -> Iterator[Block]:
    """List the functions whose own cost moved most, and by more than chance."""
    shares = [_own_shares(side) for side in sides]
    samples = [sum(one["samples"] for one in side) for side in sides]
    moved = []
    for name in sorted({*shares[0], *shares[1]}):
        before, after = (own.get(name, 0.0) for own in shares)
        change = after * scales[1] - before * scales[0]
        errors = [scale * error_of(_seen_once(share, count), count) for scale, share, count in zip(scales, (before, after), samples, strict=True)]
        if abs(change) > ERRORS * math.hypot(*errors):
            moved.append((change, name, before * scales[0], after * scales[1]))
    moved.sort(key=lambda row: -abs(row[0]))
    yield Heading(f"{role}: functions whose own time moved", 3)
    if not moved:
        yield Paragraph(f"None by more than {ERRORS:g} standard errors of the samples.")
        return
    yield Table(
        ["function", "where", f"before, {unit}", "after", "change"],
        [[name[0], name[1], figure(before), figure(after), f"{change:+.2f}"] for change, name, before, after in moved[:TOP]],
        words=2,
    )


def _seen_once(share: float, samples: int) -> float:
    """Return a share as if one sample more had fallen there and one elsewhere: what was not seen among few samples may well be there."""
    return (share * samples + 1) / (samples + 2)


def _own_shares(side: Sequence[Process]) -> dict[tuple[str, str], float]:
    """Return ``{(function, file): mean own share}``; not by line, which moves when code above does."""
    shares: dict[tuple[str, str], float] = {}
    for process in side:
        for row in process["functions"]:
            name = (f"[{row['name']}]" if row["native"] else row["name"], row["file"])
            shares[name] = shares.get(name, 0.0) + row["own"] / len(side)
    return shares
