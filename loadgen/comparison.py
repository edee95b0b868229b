"""Two results side by side: of each point and figure both medians, their ratio, and whether it is more than chance. Pure.

Points are matched by their flags, else by their names; one point on each side is matched whatever it is called. The interval of a ratio is of 95 %,
by bootstrap over the runs of both sides. Two single runs have only their seconds: the rate is then compared by bootstrap over these, of their means,
which tells how steady the two runs were, and nothing of how much another run would differ; the other figures have no interval then.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import attrs

from loadgen.figures import RATE, SHOWN
from loadgen.intervals import BOOTSTRAP_MIN, Ratio, median_of, ratio_of, ratio_of_means
from loadgen.measured import INCIDENTAL
from replica.config import SettingError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from loadgen.measured import Point, Side

SCHEMA: Final = "triskele.comparison/1"
METHODS: Final = {"runs": "bootstrap over runs", "seconds": "bootstrap over the seconds of single runs"}
"""What the intervals of a point come from, and how that is told."""
_MACHINE: Final = ("processor", "cores", "memory_bytes", "system", "python")

Comparison = dict[str, Any]


def compare(before: Side, after: Side) -> Comparison:
    """Compare two sides.

    Returns:
        Schema ``triskele.comparison/1``: ``a``, ``b`` (names), ``warning`` (a line, or empty), ``method`` (of the intervals, a line; empty without
        any), ``unmatched`` (``{side: names}``) and ``points``: ``name``, ``flags``, ``runs``, ``lost`` (failed and unknown commands of all runs),
        ``method`` (``runs``, ``seconds`` or None) and ``figures``, of each its medians ``a`` and ``b``, ``ratio``, ``low``, ``high``, ``differs``.

    Raises:
        SettingError: They are not of one kind, or no points match.
    """
    if before.kind != after.kind:
        raise SettingError(after.name, "", f"is a result of another kind ({after.kind}) than {before.name} ({before.kind})")
    pairs = list(matched(before.points, after.points))
    if not pairs:
        raise SettingError(after.name, "", f"no point of it has the flags or the name of one of {before.name}")
    paired = [{point.name for point in side} for side in zip(*pairs, strict=True)]
    points = [_point(one, other) for one, other in pairs]
    return {
        "schema": SCHEMA,
        "a": before.name,
        "b": after.name,
        "warning": warning(before, after, pairs),
        "method": " and ".join(told for method, told in METHODS.items() if any(point["method"] == method for point in points)),
        "points": points,
        "unmatched": {
            side: [point.name for point in points if point.name not in known]
            for side, points, known in zip("ab", (before.points, after.points), paired, strict=True)
        },
    }


def matched(before: Sequence[Point], after: Sequence[Point]) -> Iterator[tuple[Point, Point]]:
    """Yield the points that are to be compared."""
    if len(before) == len(after) == 1:
        yield before[0], after[0]
        return
    by_flags = {json.dumps(dict(point.flags), sort_keys=True): point for point in after}
    by_name = {point.name: point for point in after}
    for point in before:
        other = by_flags.get(json.dumps(dict(point.flags), sort_keys=True)) or by_name.get(point.name)
        if other is not None:
            yield point, other


def warning(before: Side, after: Side, pairs: Sequence[tuple[Point, Point]]) -> str:
    """Return one line about what makes the sides hard to compare; empty if nothing does."""
    reasons = [
        f"{name} {before.machine.get(name)} and {after.machine.get(name)}" for name in _MACHINE if before.machine.get(name) != after.machine.get(name)
    ]
    if before.version != after.version:
        reasons.append(f"version {before.version} and {after.version}")
    if before.commit != after.commit:
        reasons.append(f"commit {before.commit} and {after.commit}")
    differing: dict[str, tuple[Any, Any]] = {}
    for one, other in pairs:
        for name in {**one.flags, **other.flags}:
            values = one.flags.get(name), other.flags.get(name)
            if name not in INCIDENTAL and values[0] != values[1]:
                differing.setdefault(name, values)
    reasons += [f"{name} {values[0]} and {values[1]}" for name, values in differing.items()]
    reasons += [f"{side.name}: {line}" for side in (before, after) for line in side.mixture]
    reasons += [f"{side.name} is partial" for side in (before, after) if side.partial]
    return "not measured alike: " + "; ".join(reasons) if reasons else ""


def _method(one: Point, other: Point) -> str | None:
    """Return what a point's intervals come from: enough runs on each side, or enough seconds of single ones."""
    if min(len(one.runs), len(other.runs)) >= BOOTSTRAP_MIN:
        return "runs"
    return "seconds" if min(len(one.series), len(other.series)) >= BOOTSTRAP_MIN else None


def _point(one: Point, other: Point) -> dict[str, Any]:
    figures: dict[str, dict[str, Any]] = {}
    for name in dict.fromkeys(name for run in (*one.runs, *other.runs) for name in run):
        before, after = ([value for run in point.runs if (value := run.get(name)) is not None] for point in (one, other))
        if before and after:
            ratio = _ratio(one, other, name, before, after)
            figures[name] = {
                "a": median_of(before).median,
                "b": median_of(after).median,
                **(attrs.asdict(ratio) if ratio else dict.fromkeys(("ratio", "low", "high", "coverage"))),
                "differs": bool(ratio and ratio.differs),
            }
    name = one.name if one.name == other.name else f"{one.name} / {other.name}"
    lost = [sum(int(run.get(what) or 0) for run in point.runs for what in ("failed", "unknown")) for point in (one, other)]
    return {
        "name": name,
        "flags": dict(one.flags),
        "runs": [len(one.runs), len(other.runs)],
        "lost": lost,
        "method": _method(one, other),
        "figures": figures,
    }


def _ratio(one: Point, other: Point, name: str, before: Sequence[float], after: Sequence[float]) -> Ratio | None:
    ratio = ratio_of(before, after)
    if name == RATE and ratio is not None and _method(one, other) == "seconds":
        seconds = ratio_of_means(one.series, other.series)
        return attrs.evolve(seconds, ratio=ratio.ratio) if seconds else ratio
    return ratio


def rows_of(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return the comparison as a table: heads and rows; a mark where the interval excludes 1."""
    rows: list[list[str]] = []
    for point in comparison["points"]:
        for name, shown in SHOWN.items():
            found = point["figures"].get(name)
            if found:
                interval = "" if found["low"] is None else f"{found['low']:.2f}-{found['high']:.2f}"
                ratio = "-" if found["ratio"] is None else f"{found['ratio']:.2f}"
                rows.append([point["name"], shown.label, shown.text(found["a"]), shown.text(found["b"]), ratio, interval, "*" * found["differs"]])
        if any(point["lost"]):
            rows.append([point["name"], "failed + unknown", *(f"{count:,}" for count in point["lost"]), "", "", ""])
    return ["point", "figure", "A", "B", "B/A", "95 %", ""], rows
