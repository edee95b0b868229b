"""docs/planted.md is in step with the code: every bug, its recorded seed, the rule that finds it and what that rule means."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.planted.rules import RULES, rule_of
from tests.planted.table import (
    PAGE,
    RULES_TABLE,
    SCOPE_HEADS,
    SCOPES,
    WORLD_HEADS,
    WORLDS,
    Finding,
    find_in_scope,
    find_in_world,
    known_of_scope,
    known_of_world,
    marks,
    rules_table,
    what_is_wrong,
    with_table,
    worlds_table,
)
from tests.scopes.planted import PLANTED
from tests.sim.planted import BUGS, RECORDED, world_of
from tests.sim.storms import STORMS

SEEDS_MAX = 1000
"""A search of so many seeds finds every bug."""
DUE = "run: python -m tests.planted"
TESTS = Path(__file__).resolve().parents[1]


def rows(name: str) -> list[list[str]]:
    """Return the cells of a table of the page, its head first."""
    begin, end = marks(name)
    lines = PAGE.read_text().partition(begin)[2].partition(end)[0].strip().splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[:1] + lines[2:]]


def test_the_page_has_every_bug_as_the_code_has_it_and_what_it_took_to_find_it() -> None:
    head, *found = rows(WORLDS)
    assert head == WORLD_HEADS
    assert [row[:5] for row in found] == [known_of_world(bug) for bug in BUGS], DUE
    head, *found = rows(SCOPES)
    assert head == SCOPE_HEADS
    assert [row[:3] for row in found] == [known_of_scope(bug) for bug in PLANTED], DUE
    numbers = [cell for row in rows(WORLDS)[1:] for cell in row[6:]] + [cell for row in found for cell in row[3:]]
    assert all(int(number.replace(",", "")) > 0 for number in numbers)


def test_a_search_of_a_thousand_seeds_in_its_world_finds_every_bug() -> None:
    assert {bug: seed for bug, (seed, _) in RECORDED.items() if not 1 <= seed <= SEEDS_MAX} == {}
    assert {world_of(bug) for bug in BUGS} <= {None, *STORMS}


def test_every_bug_says_what_is_wrong() -> None:
    assert [bug for bug in BUGS if len(what_is_wrong(bug)) < 20] == []
    assert what_is_wrong("scan_start_key_only") == "A scan conflicts with writes of its first key only. (D10)"


def test_the_page_explains_every_rule() -> None:
    assert with_table(PAGE.read_text(), RULES_TABLE, rules_table()) == PAGE.read_text(), DUE
    text = "".join(path.read_text() for folder in ("sim", "scopes") for path in (TESTS / folder).glob("*.py"))
    assert set(re.findall(r"\bI-[A-Z]+\b", text)) - {rule.name for rule in RULES} == set()


def test_a_failure_is_told_by_the_rule_that_it_breaks() -> None:
    assert rule_of("r0 spins: its deadline 0.0 stays behind the time 0.2").name == "no spinning"
    assert rule_of("liveness: replicas (7,) do not vote yet").name == "liveness"
    with pytest.raises(LookupError, match="out of the blue"):
        rule_of("out of the blue")


def test_a_bug_is_found_in_its_world_and_in_its_scope_and_told_with_what_it_took() -> None:
    bug = "slow_path_by_acks"
    in_world, in_scope = find_in_world(bug), find_in_scope(bug)
    assert in_world.expected
    assert in_scope.expected
    table = worlds_table([in_world])
    assert table.splitlines()[2].startswith(f"| `{bug}` | The leader answers a refused command from committed state")
    assert table.splitlines()[2].count("|") == len(WORLD_HEADS) + 1
    assert not Finding(bug, "I-FAST", "", ()).expected


def test_a_table_goes_between_its_marks_and_nowhere_else() -> None:
    begin, end = marks("x")
    assert with_table(f"a\n{begin}\nold\n{end}\nb", "x", "new") == f"a\n{begin}\nnew\n{end}\nb"
    with pytest.raises(AssertionError, match="table of y"):
        with_table(f"{begin}\n{end}", "y", "new")
