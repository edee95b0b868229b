"""Writes the table of settings into docs/operations.md, out of ``replica.config``. A test says when it is due."""

from __future__ import annotations

import re
from pathlib import Path

from replica.config import SETTINGS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "operations.md"
BEGIN, END = "<!-- settings: written by tools/settings_table.py -->", "<!-- end of settings -->"


def settings_table() -> str:
    """Return the Markdown table: name, default, range or choices, help."""
    lines = ["| setting | default | allowed | what it is |", "| --- | --- | --- | --- |"]
    for setting in SETTINGS.values():
        default = f"`{setting.default}`" if setting.default != "" else ""
        allowed = setting.allowed().removeprefix("must be ").removeprefix("one of ")
        lines.append(f"| `{setting.name}` | {default} | {allowed} | {setting.help.replace('|', ',')} |")
    return "\n".join(lines)


def with_settings(text: str) -> str:
    """Return the page with the table between its two marks replaced."""
    pattern = re.compile(f"({re.escape(BEGIN)}\n).*?({re.escape(END)})", re.DOTALL)
    assert pattern.search(text), f"{PAGE.name} lacks the marks of the table"
    return pattern.sub(lambda match: f"{match.group(1)}{settings_table()}\n{match.group(2)}", text)


if __name__ == "__main__":
    PAGE.write_text(with_settings(PAGE.read_text()))
