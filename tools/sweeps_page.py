"""Writes what sweeps measured into docs/sweeps.md, out of their reports.

``make experiments EXPERIMENTS="depth modes" && python tools/sweeps_page.py experiments-report/{depth,modes}/report.json``: each experiment's tables
stand between two marks that name it. The prose around them is for people to keep true.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from loadgen.sweep.tables import BRIEF, against_of, intervals_line, markdown_table, measured_on, table_of

PAGE = Path(__file__).resolve().parent.parent / "docs" / "sweeps.md"
END = "<!-- end of sweep -->"


def begin(name: str) -> str:
    """Return the mark above an experiment's tables."""
    return f"<!-- sweep {name}: written by tools/sweeps_page.py -->"


def section(report: dict[str, Any]) -> str:
    """Return what stands between the marks: how it was measured, and the tables."""
    parts = [f"{measured_on(report)}. {intervals_line(report)}", *(f"**{warning}**" for warning in report["warnings"])]
    parts.append(markdown_table(table_of(report, BRIEF)))
    if any(point["against"] for point in report["points"]):
        parts.append(markdown_table(against_of(report)))
    return "\n\n".join(parts) + "\n"


def with_section(text: str, report: dict[str, Any]) -> str:
    """Return the page with one experiment's section replaced.

    Raises:
        KeyError: The page has no marks for it.
    """
    pattern = re.compile(f"({re.escape(begin(report['name']))}\n).*?({re.escape(END)})", re.DOTALL)
    if not pattern.search(text):
        raise KeyError(report["name"])
    return pattern.sub(lambda match: f"{match.group(1)}{section(report)}{match.group(2)}", text, count=1)


def main(words: list[str]) -> int:
    """Write the sections of the reports named; return 2, with nothing written, if one is not whole or has no place."""
    text = PAGE.read_text(encoding="utf-8")
    if not words:
        print(__doc__, file=sys.stderr)
        return 2
    for word in words:
        try:
            report: dict[str, Any] = json.loads(Path(word).read_text(encoding="utf-8"))
            if report["partial"] or report["failures"]:
                print(f"sweeps_page: {word}: partial, or with failed runs", file=sys.stderr)
                return 2
            text = with_section(text, report)
        except (OSError, ValueError, KeyError, TypeError) as error:
            print(f"sweeps_page: {word}: no report of a sweep that {PAGE.name} has a place for: {error!r}", file=sys.stderr)
            return 2
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
