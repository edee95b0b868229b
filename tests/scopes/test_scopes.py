"""The quickest scopes, that the search finds what is wrong where something is, and that nothing is missed by what it leaves out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.scopes.forms import Forms
from tests.scopes.judge import Judge
from tests.scopes.machine import world
from tests.scopes.planted import PLANTED, SMALL, scope_of
from tests.scopes.scopes import SCOPES, A, B, C
from tests.scopes.search import RULES, Search, independent, search
from tests.sim.planted import plant

if TYPE_CHECKING:
    from tests.scopes.machine import Action, State, World
    from tests.scopes.scope import Scope

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["b", "g", "ha"])
def test_a_scope_holds_to_its_end(name: str) -> None:
    found = search(SCOPES[name])
    assert found.complete, (found.failure, found.path)
    assert found.ends > 1
    assert found.transitions > found.states


@pytest.mark.parametrize("name", SMALL)
def test_what_is_left_out_changes_no_outcome_of_a_scope(name: str) -> None:
    whole, reduced = Search(world(SMALL[name]), frozenset()), Search(world(SMALL[name]))
    assert whole.run().complete
    assert reduced.run().complete
    assert reduced.outcomes == whole.outcomes
    assert reduced.found.states < whole.found.states


@pytest.mark.parametrize("rule", sorted(RULES))
def test_no_rule_alone_changes_an_outcome(rule: str) -> None:
    whole, reduced = Search(world(B)), Search(world(B), RULES - {rule})
    assert whole.run().complete
    assert reduced.run().complete
    assert reduced.outcomes == whole.outcomes


@pytest.mark.parametrize("rules", [frozenset[str](), RULES], ids=["whole", "reduced"])
@pytest.mark.parametrize("bug", PLANTED)
def test_a_planted_bug_is_found_with_the_steps_that_lead_to_it(bug: str, rules: frozenset[str]) -> None:
    name, said = PLANTED[bug]
    scope = scope_of(name)
    with plant(bug):
        found = search(scope, rules=rules)
        assert said in found.failure, found
        with pytest.raises(AssertionError, match=said):
            replay(scope, found.path, rules)


def replay(scope: Scope, path: tuple[Action, ...], rules: frozenset[str]) -> None:
    small = world(scope)
    judge, forms, state = Judge(small), Forms(small, rules), small.first
    for action in path:
        state, fast = small.after(state, small.actions.index(action))
        judge.judge_step(state, fast)
        state = forms.normal(state, -1)
    judge.judge_end(state)


def test_cores_of_one_form_act_alike_whatever_made_them() -> None:
    doubting = Search(world(SMALL["crash"], doubtful=True), frozenset())
    assert doubting.run().complete, doubting.found
    assert doubting.world.cores.doubts > 10


def test_a_search_that_is_cut_off_says_so() -> None:
    found = search(C, 50)
    assert not found.complete
    assert found.states >= 50


def test_what_touches_different_cores_is_independent() -> None:
    assert independent(("deliver", "p", 0), ("deliver", "p", 1))
    assert not independent(("deliver", "p", 0), ("deliver", 1, 0))
    assert independent(("deliver", 1, 0), ("elect", 2))
    assert not independent(("deliver", 1, 2), ("elect", 2))
    assert independent(("invoke", "p"), ("deliver", "q", 0))
    assert not independent(("invoke", "p"), ("deliver", 0, "q")), "the invocation notes what was complete"
    assert not independent(("crash", 0), ("deliver", "p", 1))
    assert not independent(("deliver", 0, "p"), ("deliver", "p", 1)), "a command that is read already may be sent again"
    assert independent(("begin", "p", 0), ("deliver", "q", 1))
    assert not independent(("begin", "p", 0), ("deliver", "q", 0))
    assert not independent(("begin", "p", 0), ("deliver", 1, "q"))


def test_independent_actions_lead_to_the_same_state_in_either_order() -> None:
    small = world(A)
    state = after(small, after(small, small.first, "invoke", "p"), "invoke", "q")
    one, other = ("deliver", "p", 1), ("deliver", "q", 2)
    assert after(small, after(small, state, *one), *other) == after(small, after(small, state, *other), *one)
    other = ("deliver", "q", 1)
    assert after(small, after(small, state, *one), *other) != after(small, after(small, state, *other), *one)


def after(small: World, state: State, *action: int | str) -> State:
    return small.after(state, small.actions.index(action))[0]


def test_the_program_explores_what_it_is_asked_to_in_processes_of_their_own() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.scopes", "g", "--jobs", "2"], cwd=ROOT, capture_output=True, text=True, timeout=300, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "| `g` |" in done.stdout
    assert done.stdout.endswith("| yes |  |\n")
