"""The tables of docs/planted.md: every planted bug, the rule that finds it, and what that took."""

from __future__ import annotations

import re
from pathlib import Path

import attrs

from loadgen.sweep.tables import markdown_table
from tests.planted.rules import RULES, rule_of
from tests.scopes.planted import PLANTED, scope_of
from tests.scopes.search import search
from tests.sim.planted import BUGS, RECORDED, plant, world_of
from tests.sim.run import run_seed

PAGE = Path(__file__).resolve().parents[2] / "docs" / "planted.md"
WORLDS, SCOPES, RULES_TABLE = "worlds", "scopes", "rules"
"""Names of the tables, in the marks around them."""
PROTOTYPE = re.compile(r"^(D\d+(?:, D\d+)*): (.*)")
WORLD_HEADS = ["bug", "what is wrong", "rule", "world", "seed", "mode", "replicas", "events", "virtual ms", "commands"]
SCOPE_HEADS = ["bug", "rule", "scope", "states", "steps"]


@attrs.frozen
class Finding:
    """What came of a bug's recorded seed, or of the scope that finds it. Plain values: it travels between processes.

    Attributes:
        bug: its name.
        recorded: what its failure says.
        failure: what was said; empty if nothing failed.
        cells: what it took, as the last cells of its row.
    """

    bug: str
    recorded: str
    failure: str
    cells: tuple[str, ...]

    @property
    def expected(self) -> bool:
        """Whether the failure is the recorded one."""
        return self.recorded in self.failure


def find_in_world(bug: str) -> Finding:
    """Run a bug's recorded seed; worker processes find this by its name."""
    seed, said = RECORDED[bug]
    report = run_seed(seed, None, None, bug)
    took = (f"{report.events:,}", f"{report.virtual_seconds * 1000:,.0f}", f"{report.completed:,}")
    return Finding(bug, said, report.failure, (report.mode, str(report.replicas), *took))


def find_in_scope(bug: str) -> Finding:
    """Explore the scope that finds a bug; worker processes find this by its name."""
    scope, said = PLANTED[bug]
    with plant(bug):
        found = search(scope_of(scope))
    return Finding(bug, said, found.failure, (f"{found.states:,}", str(len(found.path))))


def what_is_wrong(bug: str) -> str:
    """Return a bug's description: the first line of its documentation, the defect that it repeats behind it."""
    line = (BUGS[bug].__doc__ or "").partition("\n")[0]
    repeats = PROTOTYPE.match(line)
    if repeats is None:
        return line
    return f"{repeats[2][0].upper()}{repeats[2][1:]} ({repeats[1]})"


def known_of_world(bug: str) -> list[str]:
    """Return the cells of a bug's row that stand in the code."""
    seed, said = RECORDED[bug]
    return [f"`{bug}`", what_is_wrong(bug), rule_of(said).name, world_of(bug) or "any", str(seed)]


def known_of_scope(bug: str) -> list[str]:
    """Likewise for the table of scopes."""
    scope, said = PLANTED[bug]
    return [f"`{bug}`", rule_of(said).name, f"`{scope}`"]


def rules_table() -> str:
    """Return the table of rules, with how many bugs each finds."""
    breaking = [rule_of(said) for _, said in RECORDED.values()]
    rows = [[rule.name, rule.when, str(breaking.count(rule)), rule.meaning] for rule in RULES]
    return markdown_table((["rule", "looked at", "bugs", "what must hold"], rows))


def worlds_table(findings: list[Finding]) -> str:
    """Return the table of simulated worlds."""
    return markdown_table((WORLD_HEADS, [[*known_of_world(each.bug), *each.cells] for each in findings]))


def scopes_table(findings: list[Finding]) -> str:
    """Return the table of small scopes."""
    return markdown_table((SCOPE_HEADS, [[*known_of_scope(each.bug), *each.cells] for each in findings]))


def marks(name: str) -> tuple[str, str]:
    """Return the marks around a table of the page."""
    return f"<!-- {name}: written by python -m tests.planted -->", f"<!-- end of {name} -->"


def with_table(text: str, name: str, table: str) -> str:
    """Return a page with what stands between the marks of a table replaced."""
    begin, end = marks(name)
    pattern = re.compile(f"({re.escape(begin)}\n).*?({re.escape(end)})", re.DOTALL)
    assert pattern.search(text), f"the page lacks the marks of its table of {name}"
    return pattern.sub(lambda match: f"{match.group(1)}{table}\n{match.group(2)}", text)
