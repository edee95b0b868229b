"""Charts as inline SVG: lines, bars with whiskers, and clouds of numbered dots. Pure text, nothing to load, colours that do on light and dark."""

from __future__ import annotations

import math
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import attrs

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WIDTH: Final = 720
HEIGHT: Final = 220
PALETTE: Final = ("#1f77c9", "#c2571a", "#2c8a4b", "#b03a48", "#7d4fa3", "#a0762b", "#3a9aa8", "#c05a9a", "#7a8699", "#6b8e23")
_LEFT: Final = 64
_RIGHT: Final = 12
_TOP: Final = 18
_BOTTOM: Final = 28
_ROW: Final = 34
_STEPS: Final = 4

Line = tuple[str, str, list[tuple[float, float]]]
"""A chart's line: name, colour, points."""
Whisker = tuple[str, float, float, float]
"""Colour, x, low, high."""


@attrs.frozen
class Bar:
    """A bar: its name, its length, the ends of its whisker (None: no whisker), and what is written behind it."""

    name: str
    value: float
    low: float | None
    high: float | None
    text: str


@attrs.frozen
class Dot:
    """A dot of a cloud: where, what is written beside it and told when it is pointed at, its colour, filled or a ring."""

    x: float
    y: float
    label: str
    told: str
    colour: str
    filled: bool = True


def chart(
    lines: Sequence[Line],
    x_unit: str,
    y_unit: str,
    *,
    labels: Sequence[str] = (),
    ticks: Sequence[tuple[float, str]] = (),
    whiskers: Sequence[Whisker] = (),
    logarithmic: str = "",
    named: bool = True,
) -> str:
    """Return a line chart as SVG.

    Args:
        lines: at least one; a line of one point is drawn as a dot.
        x_unit: named at the right end.
        y_unit: named at the top.
        labels: for x = 0, 1, …; without them x is a number.
        ticks: where x is labelled, instead of at its ends.
        whiskers: intervals on the points.
        logarithmic: the axes that are, ``"x"``, ``"y"`` or both; all others begin at zero (y) or at the least value (x).
        named: whether several lines are named at the top; else ``legend`` does it.
    """
    points = [point for _, _, own in lines for point in own]
    if not points:
        return "<p class=muted>nothing measured</p>"
    ends = [end for _, _, low, high in whiskers for end in (low, high)]
    across = _across([x for x, _ in points], logarithmic="x" in logarithmic)
    rule, down = _down([*(y for _, y in points), *ends], logarithmic="y" in logarithmic)
    parts = [f"<svg viewBox='0 0 {WIDTH} {HEIGHT}' role=img>", f"<text x={_LEFT} y=11>{escape(y_unit)}</text>", *_rules(rule, down)]
    xs = sorted({x for x, _ in points})
    shown = [*((float(number), label) for number, label in enumerate(labels)), *ticks]
    for x, label in shown or [(xs[0], f"{xs[0]:g}"), (xs[-1], f"{xs[-1]:g} {x_unit}")]:
        parts.append(f"<text x={across(x)} y={HEIGHT - 10} text-anchor={'end' if across(x) > WIDTH - 40 else 'middle'}>{escape(label)}</text>")
    for colour, x, low, high in whiskers:
        parts.append(f"<line x1={across(x)} y1={down(low)} x2={across(x)} y2={down(high)} stroke='{colour}' stroke-width=1.5 opacity=.6></line>")
    for number, (name, colour, own) in enumerate(lines):
        places = [(across(x), down(y)) for x, y in own]
        path = " ".join(f"{x},{y}" for x, y in places)
        title = f"<title>{escape(name)}</title>"
        if len(places) == 1:
            parts.append(f"<circle cx={places[0][0]} cy={places[0][1]} r=3 fill='{colour}'>{title}</circle>")
        elif places:
            parts.append(f"<polyline points='{path}' fill=none stroke='{colour}' stroke-width=2>{title}</polyline>")
        if named and len(lines) > 1:
            parts.append(f"<text x={_LEFT + 110 + 90 * number} y=11 style='fill:{colour}'>{escape(name)}</text>")
    return "".join([*parts, "</svg>"])


def bars(rows: Sequence[Bar], unit: str) -> str:
    """Return one bar below the other, from zero, with whiskers."""
    if not rows:
        return "<p class=muted>nothing measured</p>"
    top = nice(max(max(row.value, row.high or 0.0) for row in rows))
    height = _TOP + _ROW * len(rows) + 6
    room = WIDTH - 2 * _RIGHT - 80

    def across(value: float) -> float:
        return round(_RIGHT + room * value / top, 1)

    parts = [f"<svg viewBox='0 0 {WIDTH} {height}' role=img>", f"<text x={_RIGHT} y=11>{escape(unit)}</text>"]
    for step in range(1, _STEPS + 1):
        x = across(top * step / _STEPS)
        parts.append(f"<line x1={x} y1={_TOP} x2={x} y2={height} stroke='#8884'></line>")
        parts.append(f"<text x={x} y=11 text-anchor=middle>{top * step / _STEPS:,.6g}</text>")
    for number, row in enumerate(rows):
        y = _TOP + _ROW * number
        colour = PALETTE[number % len(PALETTE)]
        parts.append(f"<text x={_RIGHT} y={y + 13}>{escape(row.name)}</text>")
        parts.append(f"<rect x={_RIGHT} y={y + 17} width={round(across(row.value) - _RIGHT, 1)} height=11 fill='{colour}' opacity=.75></rect>")
        end = across(max(row.value, row.high or 0.0))
        if row.low is not None and row.high is not None:
            low, high, middle = across(row.low), across(row.high), y + 22.5
            strokes = ((low, middle, high, middle), (low, y + 18, low, y + 27), (high, y + 18, high, y + 27))
            parts += [f"<line class=whisker x1={a} y1={b} x2={c} y2={d}></line>" for a, b, c, d in strokes]
        parts.append(f"<text x={end + 5} y={y + 26}>{escape(row.text)}</text>")
    return "".join([*parts, "</svg>"])


def cloud(dots: Sequence[Dot], x_unit: str, y_unit: str) -> str:
    """Return dots over both axes: x from zero, y logarithmic."""
    dots = [dot for dot in dots if dot.y > 0]
    if not dots:
        return "<p class=muted>nothing measured</p>"
    height = HEIGHT + 100
    top = nice(max(dot.x for dot in dots))
    across = _across([0.0, top], logarithmic=False)
    rule, down = _down([dot.y for dot in dots], logarithmic=True, height=height)
    parts = [f"<svg viewBox='0 0 {WIDTH} {height}' role=img>", f"<text x={_LEFT} y=11>{escape(y_unit)}</text>", *_rules(rule, down)]
    for step in range(_STEPS + 1):
        x, anchor = top * step / _STEPS, "end" if step == _STEPS else "middle"
        label = f"{x:,.6g} {escape(x_unit)}" if step == _STEPS else f"{x:,.6g}"
        parts.append(f"<text x={across(x)} y={height - 10} text-anchor={anchor}>{label}</text>")
    for dot in dots:
        fill = f"fill='{dot.colour}'" if dot.filled else f"fill=none stroke='{dot.colour}' stroke-width=1.5"
        parts.append(f"<circle cx={across(dot.x)} cy={down(dot.y)} r=4 {fill}><title>{escape(dot.told)}</title></circle>")
        parts.append(f"<text x={across(dot.x) + 6} y={down(dot.y) + 4}>{escape(dot.label)}</text>")
    return "".join([*parts, "</svg>"])


def legend(lines: Sequence[Line]) -> str:
    """Return the names of several lines, as a paragraph; nothing for one."""
    names = "".join(f"<span><i style='background:{colour}'></i>{escape(name)}</span> " for name, colour, _ in lines)
    return f"<p class=legend>{names}</p>" if len(lines) > 1 else ""


def nice(value: float) -> float:
    """Return a round number at or above a value: 1, 2, 2.5 or 5 times a power of ten."""
    if value <= 0:
        return 1.0
    power = 1.0
    while power * 10 <= value:
        power *= 10
    while power > value:
        power /= 10
    return next(power * step for step in (1, 2, 2.5, 5, 10) if power * step >= value)


def _across(values: Sequence[float], *, logarithmic: bool) -> Callable[[float], float]:
    """Return where x is."""
    low, high = min(values), max(values)
    logarithmic = logarithmic and low > 0

    def share(x: float) -> float:
        if high <= low:
            return 0.5
        return math.log(x / low) / math.log(high / low) if logarithmic else (x - low) / (high - low)

    return lambda x: round(_LEFT + share(x) * (WIDTH - _LEFT - _RIGHT), 1)


def _down(values: Sequence[float], *, logarithmic: bool, height: int = HEIGHT) -> tuple[list[float], Callable[[float], float]]:
    """Return where the rules are, and where y is."""
    room = height - _BOTTOM - _TOP
    positive = [value for value in values if value > 0]
    if not logarithmic or not positive:
        top = nice(max(values))
        return [top * step / _STEPS for step in range(_STEPS + 1)], lambda y: round(_TOP + room * (1 - y / top), 1)
    low, high = _below(min(positive)), nice(max(positive))
    high = high if high > low else 2 * low
    rules = [low]
    while rules[-1] < high:
        rules.append(_next(rules[-1]))
    rules = rules if len(rules) <= 2 * _STEPS else [rule for rule in rules if _is_power(rule)]
    return rules, lambda y: round(_TOP + room * (1 - math.log(max(y, low) / low) / math.log(high / low)), 1)


def _below(value: float) -> float:
    """Return 1, 2 or 5 times a power of ten at or below a value."""
    power = 10.0 ** math.floor(math.log10(value))
    return max(step for step in (power, 2 * power, 5 * power) if step <= value * (1 + 1e-9))


def _next(value: float) -> float:
    power = 10.0 ** math.floor(math.log10(value * (1 + 1e-9)))
    return next(above for below, above in pairwise((power, 2 * power, 5 * power, 10 * power)) if below >= value * (1 - 1e-9))


def _is_power(value: float) -> bool:
    return abs(math.log10(value) - round(math.log10(value))) < 1e-6  # noqa: PLR2004 - rounding


def _rules(rules: Sequence[float], down: Callable[[float], float]) -> list[str]:
    parts = []
    for value in rules:
        y = down(value)
        if y >= _TOP - 1:
            parts.append(f"<line x1={_LEFT} y1={y} x2={WIDTH - _RIGHT} y2={y} stroke='#8884'></line>")
            parts.append(f"<text x={_LEFT - 6} y={y + 4} text-anchor=end>{value:,.6g}</text>")
    return parts
