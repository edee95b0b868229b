"""A report before it has a form: headings, paragraphs, tables, flame graphs; and its form as Markdown and as text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


@attrs.frozen
class Heading:
    """A heading; level 1 is the title."""

    text: str
    level: int = 2


@attrs.frozen
class Paragraph:
    """Running text."""

    text: str


@attrs.frozen
class Bullets:
    """A list."""

    items: Sequence[str]


@attrs.frozen
class Table:
    """A table: heads, and rows of as many cells; the first ``words`` columns hold words, the rest numbers."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int = 1


@attrs.frozen
class Flame:
    """A flame graph: a name and a tree (``triskele.profile.flame``); only a page can show it."""

    name: str
    tree: list[Any]


Block = Heading | Paragraph | Bullets | Table | Flame


def markdown(blocks: Iterable[Block]) -> str:
    """Write blocks as Markdown."""
    return "\n\n".join(filter(None, (_markdown(block) for block in blocks))) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {text}"
        case Paragraph(text):
            return text
        case Bullets(items):
            return "\n".join(f"- {item}" for item in items)
        case Table(heads, rows, words):
            rule = ["---" if number < words else "---:" for number in range(len(heads))]
            return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in (heads, rule, *rows))
        case Flame():
            return ""


def plain(blocks: Iterable[Block]) -> str:
    """Write blocks as text for a terminal."""
    return "\n\n".join(filter(None, (_plain(block) for block in blocks))) + "\n"


def _plain(block: Block) -> str:
    match block:
        case Heading(text, level):
            return text.upper() if level == 1 else text
        case Table(heads, rows, words):
            widths = [max(len(row[number]) for row in (heads, *rows)) for number in range(len(heads))]
            return "\n".join(
                "  ".join(
                    cell.ljust(width) if number < words else cell.rjust(width) for number, (cell, width) in enumerate(zip(row, widths, strict=True))
                ).rstrip()
                for row in (heads, *rows)
            )
        case _:
            return _markdown(block)
