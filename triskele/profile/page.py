"""A report as one HTML file that needs nothing else: tables, and flame graphs drawn by a small script of its own (``view.js``)."""

from __future__ import annotations

import json
import re
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING

from triskele.profile.areas import AREAS
from triskele.profile.document import Block, Bullets, Flame, Heading, Paragraph, Table

if TYPE_CHECKING:
    from collections.abc import Iterable

COLOURS = ("#c2571a", "#d99a2b", "#7a8699", "#1f5fa8", "#2c7a4b", "#7d4fa3", "#a0522d", "#b03a48", "#3a9aa8", "#9aa5b5")
"""Of the areas, in their order."""

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:84rem;margin:2rem auto;padding:0 1rem;color:#1c2330;background:#fff}
h1{font-size:1.5rem} h2{font-size:1.1rem;margin:2rem 0 .4rem;border-bottom:1px solid #d5dae3} h3{font-size:1rem}
.wide{overflow-x:auto} table{border-collapse:collapse;font-variant-numeric:tabular-nums;font-size:13px}
th,td{padding:.1rem .6rem;text-align:right;border-bottom:1px solid #e6e9ef;white-space:nowrap} th{font-weight:600;color:#4a5568}
.word{text-align:left} td.word{font-family:ui-monospace,monospace;font-size:12px}
.flame{position:relative;overflow:hidden;font:11px ui-monospace,monospace;border:1px solid #d5dae3;user-select:none}
.flame div{position:absolute;height:17px;overflow:hidden;white-space:nowrap;color:#fff;border-radius:2px;padding:0 3px;box-sizing:border-box;
cursor:pointer;box-shadow:inset 0 0 0 .5px #fff6} .flame .dim{opacity:.35}
.tell{min-height:1.5em;font:12px ui-monospace,monospace;overflow-wrap:anywhere}
.legend span{display:inline-block;margin-right:1rem} .legend i{display:inline-block;width:.8em;height:.8em;margin-right:.3em;border-radius:2px}
input{font:inherit;padding:.1rem .4rem}
@media(prefers-color-scheme:dark){body{color:#e3e7ee;background:#14181f} th{color:#9aa5b5} th,td,h2,.flame{border-color:#2b323d}}
"""


_HINT = "<p>Click a frame to see it alone, the lowest to go back. <input id=find placeholder='find a function'></p>"


def page(title: str, blocks: Iterable[Block]) -> str:
    """Return blocks as a page."""
    colours = dict(zip(AREAS, COLOURS, strict=True))
    legend = "".join(f"<span><i style='background:{colour}'></i>{escape(area)}</span>" for area, colour in colours.items())
    parts: list[str] = []
    graphs = 0
    for block in blocks:
        if isinstance(block, Flame) and not graphs:
            parts.append(f"<p class=legend>{legend}</p>{_HINT}")
        graphs += isinstance(block, Flame)
        parts.append(_html(block))
    script = files("triskele.profile").joinpath("view.js").read_text(encoding="utf-8")
    head = f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'><title>{escape(title)}</title>"
    return f"{head}<style>{_STYLE}</style>{''.join(parts)}<script>const COLOURS={_json(colours)};\n{script}</script></html>\n"


def _html(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{_inline(text)}</h{level}>"
        case Paragraph(text):
            return f"<p>{_inline(text)}</p>"
        case Bullets(items):
            return "<ul>" + "".join(f"<li>{_inline(item)}</li>" for item in items) + "</ul>"
        case Table(heads, rows, words):
            head = "".join(f"<th{_class(number, words)}>{escape(cell)}</th>" for number, cell in enumerate(heads))
            body = "".join(
                "<tr>" + "".join(f"<td{_class(number, words)}>{escape(cell)}</td>" for number, cell in enumerate(row)) + "</tr>" for row in rows
            )
            return f"<div class=wide><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
        case Flame(name, tree):
            data = f"<script type=application/json>{_json(tree)}</script>"
            return f"<h3>{escape(name)}</h3><div class=tell></div><div class=flame>{data}</div>"


def _class(number: int, words: int) -> str:
    return " class=word" if number < words else ""


def _inline(text: str) -> str:
    """Return running text: ``**strong**`` and code in backticks."""
    text = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", escape(text))
    return re.sub(r"`(.+?)`", r"<code>\1</code>", text)


def _json(value: object) -> str:
    """Return JSON that may stand inside a script."""
    return json.dumps(value, separators=(",", ":")).replace("</", "<\\/").replace("<!", "<\\u0021")
