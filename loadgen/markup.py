"""What all report pages share: one self-contained file, one style for light and dark, tables that scroll on a phone."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

STYLE: Final = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1c2330;background:#fff}
h1{font-size:1.5rem;margin-bottom:.2rem} h2{font-size:1.1rem;margin:2rem 0 .4rem;border-bottom:1px solid #d5dae3}
h3{font-size:.95rem;margin:1rem 0 .2rem}
table{border-collapse:collapse;font-variant-numeric:tabular-nums} th,td{padding:.15rem .7rem;text-align:right;border-bottom:1px solid #e6e9ef}
th:first-child,td:first-child{text-align:left} th{font-weight:600;color:#4a5568} .big{font-size:1.15rem} .muted{color:#5b6472}
.wide{overflow-x:auto} .wide svg{min-width:36rem} .wide td{white-space:nowrap} .bad{color:#b03a48;font-weight:600}
svg{max-width:100%;height:auto} svg text{font:11px system-ui,sans-serif;fill:#5b6472} .whisker{stroke:#1c2330;stroke-width:1.2}
.legend span{display:inline-block;margin-right:1rem;font-size:.85rem}
.legend i{display:inline-block;width:.8em;height:.8em;margin-right:.3em;border-radius:2px}
@media(prefers-color-scheme:dark){body{color:#e3e7ee;background:#14181f} th,.muted,svg text{color:#9aa5b5;fill:#9aa5b5} th,td,h2{border-color:#2b323d}
.whisker{stroke:#e3e7ee} .bad{color:#e98a93}}
"""


def document(title: str, parts: Iterable[str]) -> str:
    """Return parts, which are markup, as a page with a title, which is text."""
    head = f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'><title>{escape(title)}</title>"
    return f"{head}<style>{STYLE}</style>{''.join(parts)}</html>\n"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table of text."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heads)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def wide(content: str) -> str:
    """Let content scroll where the page is narrow."""
    return f"<div class=wide>{content}</div>"
