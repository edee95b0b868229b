"""A run's report as one HTML file that needs nothing else; on top the timeline: faults as bars over the throughput."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from loadgen.chart import nice
from triskele.chaos.nemeses import NEMESES
from triskele.profile.document import Block, Bullets, Heading, Paragraph, Table

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

WIDTH, HEIGHT, LEFT, ROW, LETTER = 1000, 260, 60, 16, 6.5
COLOURS = {"process": "#b03a48", "network": "#c2571a", "disk": "#7d4fa3"}
_STRONG, _CAUSAL = "#1f5fa8", "#2c7a4b"
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#1c2330;background:#fff}
h1{font-size:1.5rem} h2{font-size:1.1rem;margin:2rem 0 .4rem;border-bottom:1px solid #d5dae3} .wide{overflow-x:auto}
table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:13px}
th,td{padding:.1rem .6rem;text-align:right;border-bottom:1px solid #e6e9ef}
th{font-weight:600;color:#4a5568} .word{text-align:left} svg{max-width:100%;height:auto} svg text{font:11px system-ui,sans-serif;fill:#5b6472}
@media(prefers-color-scheme:dark){body{color:#e3e7ee;background:#14181f} th,svg text{color:#9aa5b5;fill:#9aa5b5} th,td,h2{border-color:#2b323d}}
"""


def page(title: str, blocks: Sequence[Block], result: Mapping[str, Any]) -> str:
    """Return the report; the timeline stands below the first paragraph."""
    parts = [_html(block) for block in blocks]
    parts.insert(2, timeline(result))
    head = f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'><title>{escape(title)}</title>"
    return f"{head}<style>{_STYLE}</style>{''.join(parts)}</html>\n"


def timeline(result: Mapping[str, Any]) -> str:
    """Return faults, and strong and causal commands a second, over time, as SVG."""
    seconds: float = result["settings"]["seconds"]
    series = result["throughput_series"]
    lanes = _lanes(result["faults"], seconds)
    top = 20 + ROW * (max(lanes, default=-1) + 1)
    high = nice(max((max(row[1:]) for row in series), default=0.0))

    def x(second: float) -> float:
        return round(LEFT + (WIDTH - LEFT - 10) * second / seconds, 1)

    def y(rate: float) -> float:
        return round(top + HEIGHT * (1 - rate / high), 1)

    parts = [f"<svg viewBox='0 0 {WIDTH} {top + HEIGHT + 24}' role=img>"]
    for row, lane in zip(result["faults"], lanes, strict=True):
        fault = row["fault"]
        colour, left, width = COLOURS[NEMESES[fault["nemesis"]].where], x(row["began"]), max(1.0, x(row["ended"]) - x(row["began"]))
        parts.append(f"<rect x={left} y={top} width={width:.1f} height={HEIGHT} fill='{colour}' opacity=.12></rect>")
        parts.append(f"<rect x={left} y={4 + ROW * lane} width={width:.1f} height=5 fill='{colour}'></rect>")
        parts.append(f"<text x={left} y={18 + ROW * lane}>{escape(_name(row))}</text>")
    for step in range(5):
        parts.append(f"<line x1={LEFT} y1={y(high * step / 4)} x2={WIDTH - 10} y2={y(high * step / 4)} stroke='#8884'></line>")
        parts.append(f"<text x={LEFT - 6} y={y(high * step / 4) + 4} text-anchor=end>{high * step / 4:,.6g}</text>")
    ticks = [seconds * step / 6 for step in range(7)]
    anchors = [*["middle"] * 6, "end"]
    parts += [f"<text x={x(tick)} y={top + HEIGHT + 16} text-anchor={anchor}>{tick:g} s</text>" for tick, anchor in zip(ticks, anchors, strict=True)]
    for place, (name, colour) in enumerate((("strong/s", _STRONG), ("causal/s", _CAUSAL)), 1):
        points = " ".join(f"{x(row[0])},{y(row[place])}" for row in series)
        parts.append(f"<polyline points='{points}' fill=none stroke='{colour}' stroke-width=1.2></polyline>")
        parts.append(f"<text x={LEFT + 70 * (place - 1)} y={top + 12} style='fill:{colour}'>{name}</text>")
    return "".join([*parts, "</svg>"])


def _name(row: Mapping[str, Any]) -> str:
    return f"{row['fault']['nemesis']} {' '.join(map(str, row['hit']))}"


def _lanes(faults: Sequence[Mapping[str, Any]], seconds: float) -> list[int]:
    """Return a row for each fault's bar, so that no name stands on another one's."""
    letter = LETTER * seconds / (WIDTH - LEFT - 10)  # a letter's width, in seconds
    free: list[float] = []  # [row: when it is free]
    lanes = []
    for fault in faults:
        lane = next((number for number, moment in enumerate(free) if moment <= fault["began"]), len(free))
        free[lane : lane + 1] = [max(fault["ended"], fault["began"] + letter * (len(_name(fault)) + 1))]
        lanes.append(lane)
    return lanes


def _html(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{escape(text)}</h{level}>"
        case Bullets(items):
            return "<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>"
        case Table(heads, rows, words):
            head = _row("th", heads, words)
            return f"<div class=wide><table><thead>{head}</thead><tbody>{''.join(_row('td', row, words) for row in rows)}</tbody></table></div>"
        case Paragraph(text):
            return f"<p>{escape(text)}</p>"
        case _:
            return ""


def _row(tag: str, cells: Sequence[str], words: int) -> str:
    inner = "".join(f"<{tag}{' class=word' if number < words else ''}>{escape(cell)}</{tag}>" for number, cell in enumerate(cells))
    return f"<tr>{inner}</tr>"
