"""A counterexample as a picture: a row for each process, a bar for each operation, arrows for what must come before what.

Time runs by events, not by the clock: overlaps are what matters, and milliseconds between two of them would draw most bars too thin to see.
An operation whose outcome is unknown fades out to the right.
"""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from loadgen.checkers.operation import NEVER, Operation, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from loadgen.checkers.verdict import Counterexample

_STEP: Final = 92
"""Pixels from one event to the next."""
_ROW: Final = 92
_BAR: Final = 26
_TOP: Final = 56
_LETTER: Final = 6.9
"""Pixels of a letter, roughly: bars are at least as long as what stands in them."""
_COLOURS: Final = ("#1f5fa8", "#c2571a")
"""Strong, causal."""
_STYLE: Final = (
    "text{font:11px system-ui,sans-serif;fill:#1c2330}.bar{font-weight:600;fill:#fff}.muted{fill:#5b6472}"
    ".arrow{fill:none;stroke:#b03a48;stroke-width:1.5}.why{fill:#b03a48}"
)

_DEFINITIONS: Final = (
    '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
    '<path d="M0 0L8 4L0 8z" fill="#b03a48"/></marker><linearGradient id="fade">'
    '<stop offset="0.5" stop-color="#fff" stop-opacity="0"/><stop offset="1" stop-color="#fff"/></linearGradient></defs>'
)


def timeline(property_: str, found: Counterexample) -> str:
    """Return a counterexample as an SVG image.

    Args:
        property_: that it breaks.
        found: the counterexample.
    """
    operations = sorted(found.operations, key=lambda operation: operation.invoked)
    processes = list(dict.fromkeys(operation.process for operation in operations))
    left = 24 + 7 * max(len(shown(process)) for process in processes)
    places, width = _places(operations, left)
    height = _TOP + _ROW * len(processes) + 18 * (1 + len(found.arrows)) + 10
    rows = {process: _TOP + _ROW * number + _ROW // 2 for number, process in enumerate(processes)}
    names = found.names()
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img">',
        f"<title>{escape(found.pattern)}</title><style>{_STYLE}</style>",
        _DEFINITIONS,
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="12" y="20" style="font-weight:700;font-size:13px">{escape(property_)}: {escape(found.pattern)}</text>',
        f'<text x="12" y="38" class="muted">{escape(found.why)}</text>',
    ]
    for process, y in rows.items():
        parts.append(f'<text x="12" y="{y + 4}" class="muted">{escape(shown(process))}</text>')
        parts.append(f'<line x1="{left - 8}" y1="{y}" x2="{width - 12}" y2="{y}" stroke="#d5dae3"/>')
    for operation in operations:
        parts += _bar(operation, places[operation.place], rows[operation.process], names[operation.place])
    for number, (a, b, why) in enumerate(found.arrows):
        parts.append(_arrow(places[a.place], places[b.place], rows[a.process], rows[b.process], number))
        y = _TOP + _ROW * len(processes) + 18 * (number + 1)
        parts.append(f'<text x="12" y="{y}" class="why">{names[a.place]} before {names[b.place]}: {escape(why)}</text>')
    return "".join([*parts, "</svg>\n"])


def _places(operations: Sequence[Operation], left: int) -> tuple[dict[int, tuple[float, float]], int]:
    """Return {place: where its bar begins and ends}, and the width of the picture."""
    moments = sorted({moment for operation in operations for moment in (operation.invoked, operation.returned) if moment != NEVER})
    across: dict[int, float] = {}
    x = float(left)
    begun = {operation.invoked: operation for operation in operations}
    ends = {operation.returned: operation for operation in operations if operation.returned != NEVER}
    for moment in moments:
        if moment in ends and moment not in begun:
            operation = ends[moment]
            x = max(x, across[operation.invoked] + _length(operation))
        across[moment] = x
        x += _STEP / 2
    end = x + max((_length(operation) for operation in operations if operation.returned == NEVER), default=0.0)
    places = {operation.place: (across[operation.invoked], across.get(operation.returned, end)) for operation in operations}
    return places, round(end + 24)


def _length(operation: Operation) -> float:
    return 24 + _LETTER * len(_text(operation))


def _text(operation: Operation) -> str:
    outcome = operation.outcome
    return operation.what if outcome == "ok" else f"{operation.what} {outcome}"


def _bar(operation: Operation, place: tuple[float, float], y: int, name: str) -> list[str]:
    start, end = place
    box = f'x="{start:.1f}" y="{y - _BAR // 2}" width="{max(end - start, 8):.1f}" height="{_BAR}" rx="4"'
    number = f" #{operation.number}" if operation.number is not None else ""
    return [
        f'<rect {box} fill="{_COLOURS[not operation.strong]}"><title>{escape(str(operation))}, line {operation.line}</title></rect>',
        f'<rect {box} fill="url(#fade)"/>' if operation.returned == NEVER else "",
        f'<text x="{start + 8:.1f}" y="{y + 4}" class="bar">{escape(_text(operation))}</text>',
        f'<text x="{start + 16:.1f}" y="{y - _BAR // 2 - 4}" class="muted">{name}{number}{"" if operation.strong else " causal"}</text>',
    ]


def _arrow(a: tuple[float, float], b: tuple[float, float], from_y: int, to_y: int, number: int) -> str:
    """Draw an arrow from the end of one bar to the beginning of another: below them in one row, straight between two."""
    x1, x2 = a[1] - 6, b[0] + 6
    if from_y == to_y:
        low = from_y + _BAR // 2 + 14 + 4 * (number % 3)
        edge = from_y + _BAR // 2
        return f'<path class="arrow" marker-end="url(#tip)" d="M{x1:.1f} {edge}C{x1:.1f} {low} {x2:.1f} {low} {x2:.1f} {edge}"/>'
    down = 1 if to_y > from_y else -1
    y1, y2 = from_y + down * _BAR // 2, to_y - down * _BAR // 2
    middle = (y1 + y2) / 2
    return f'<path class="arrow" marker-end="url(#tip)" d="M{x1:.1f} {y1}C{x1:.1f} {middle} {x2:.1f} {middle} {x2:.1f} {y2}"/>'
