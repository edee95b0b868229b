"""Writes the tables of figures in README.md and docs/performance.md, out of the report of ``triskele sweep figures``.

``make experiments && python tools/figures_table.py experiments-report/figures/report.json``: the tables stand between two marks in each page, and the
line above them says how they were measured. The prose around them is for people to keep true.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadgen.figures import RATE, SHOWN
from loadgen.sweep.report import SCHEMA
from loadgen.sweep.tables import BRIEF, intervals_line, markdown_table, measured_on, median_text, table_of

if TYPE_CHECKING:
    from loadgen.sweep.tables import Table

ROOT = Path(__file__).resolve().parent.parent
README, PERFORMANCE = ROOT / "README.md", ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- figures: written by tools/figures_table.py -->", "<!-- end of figures -->"
FIRST_LOOK = (RATE, "strong_p50_ms", "causal_p50_ms", "syscalls_per_operation")
"""Figures of the README's table."""


def short_table(report: dict[str, Any]) -> Table:
    """Return the README's table: fewer figures, no intervals."""
    rows = [[point["name"], *(median_text(point["figures"].get(name), name) for name in FIRST_LOOK)] for point in report["points"]]
    return ["streams x in flight", *(SHOWN[name].label for name in FIRST_LOOK)], rows


def long_table(report: dict[str, Any]) -> Table:
    """Return the table of docs/performance.md."""
    (_, *heads), rows = table_of(report, BRIEF)
    return ["streams x in flight", *heads], rows


def with_table(text: str, caption: str, table: Table) -> str:
    """Return a page with everything between its two marks replaced by a caption and a table."""
    pattern = re.compile(f"({re.escape(BEGIN)}\n).*?({re.escape(END)})", re.DOTALL)
    assert pattern.search(text), "the page lacks the marks of the table"
    content = f"{caption}\n\n{markdown_table(table)}\n"
    return pattern.sub(lambda match: f"{match.group(1)}{content}{match.group(2)}", text)


def main(words: list[str]) -> int:
    """Write both tables; return 2 if the report is not of all the figures."""
    parser = argparse.ArgumentParser(prog="figures_table", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path, help="the report.json of a whole `triskele sweep figures`")
    file: Path = parser.parse_args(words).report
    try:
        read = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        print(f"figures_table: {file}: {getattr(error, 'strerror', None) or f'is no JSON: {error}'}", file=sys.stderr)
        return 2
    report: dict[str, Any] = read if isinstance(read, dict) else {}
    if report.get("schema") != SCHEMA or report.get("name") != "figures" or report["partial"] or report["failures"]:
        print(f"figures_table: {file}: is no report.json of a whole `triskele sweep figures` without failed runs", file=sys.stderr)
        return 2
    measured = f"{measured_on(report)}."
    for page, caption, table in (
        (README, measured, short_table(report)),
        (PERFORMANCE, f"{measured} {intervals_line(report)}", long_table(report)),
    ):
        page.write_text(with_table(page.read_text(encoding="utf-8"), caption, table), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
