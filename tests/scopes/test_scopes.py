"""The quickest scopes, and that the search finds what is wrong where something is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.scopes.judge import Broken, judge_step
from tests.scopes.machine import begin
from tests.scopes.scopes import SCOPES, A, C
from tests.scopes.search import independent, search
from tests.sim.planted import plant

if TYPE_CHECKING:
    from tests.scopes.machine import Action, State

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", ["g", "ha"])
def test_a_scope_holds_to_its_end(name: str) -> None:
    found = search(SCOPES[name])
    assert found.complete, (found.failure, found.path)
    assert found.ends > 1
    assert found.transitions > found.states


@pytest.mark.parametrize(("bug", "said"), [("k_majority", "I-FAST"), ("slow_path_by_acks", "I-FAST")])
def test_a_planted_bug_is_found_with_the_steps_that_lead_to_it(bug: str, said: str) -> None:
    with plant(bug):
        found = search(A, 30_000)
        assert found.failure.startswith(said), found
        with pytest.raises(Broken, match=said):
            replay(begin(A), found.path)


def replay(state: State, path: tuple[Action, ...]) -> None:
    for action in path:
        after = state.after(action)
        judge_step(state, action, after)
        state = after


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


def test_independent_actions_lead_to_the_same_state_in_either_order() -> None:
    state = begin(A).after(("invoke", "p")).after(("invoke", "q"))
    one, other = ("deliver", "p", 1), ("deliver", "q", 2)
    assert state.after(one).after(other).key() == state.after(other).after(one).key()
    assert state.after(("deliver", "p", 1)).after(("deliver", "q", 1)).key() != state.after(("deliver", "q", 1)).after(("deliver", "p", 1)).key()


def test_the_program_explores_what_it_is_asked_to_in_processes_of_their_own() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.scopes", "g", "--jobs", "2"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("g ")
    assert done.stdout.endswith("complete\n")
