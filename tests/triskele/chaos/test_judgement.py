from __future__ import annotations

from typing import Any

import attrs
import pytest

from tests.triskele.chaos.told import CHECK, COMPLETIONS, ENDINGS, SCHEDULE, STRIKES, judged
from triskele.agreement import Agreement
from triskele.chaos.timeline import Completions


def test_a_run_in_which_all_held_and_every_fault_was_felt_passes() -> None:
    told = judged()
    assert told["passed"]
    assert told["problems"] == []
    assert (told["operations"], told["strong"], told["causal"]) == (9, 7, 2)
    assert told["longest_strong_silence_seconds"] == 3.3


def test_what_users_noticed_of_a_fault() -> None:
    fault = judged()["faults"][1]
    assert (fault["began"], fault["ended"], fault["hit"], fault["touched"]) == (3.0, 4.0, [1], 7)
    assert fault["again_seconds"] == 0.5
    assert fault["strong_silence_seconds"] == 2.4
    assert (fault["rate_before"], fault["rate_during"], fault["rate_after"]) == (1.0, 0.0, 3.0)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"check": {**CHECK, "linearizable": "no", "counterexamples": {"linearizable": {"why": "stale"}}}}, "linearizable: no (stale)"),
        ({"check": {**CHECK, "exactly_once": "unknown", "reasons": {"exactly_once": "late"}}}, "exactly once: unknown (late)"),
        ({"agreement": Agreement("divergent", 3, {0: "a", 1: "b"})}, "the replicas' states are divergent at the end: {0: 'a', 1: 'b'}"),
        ({"endings": [attrs.evolve(ENDINGS[0], expected=False)]}, "replica 2 was killed by SIGKILL at 1.0 s, and no fault explains it"),
        ({"completions": Completions(COMPLETIONS.strong[:4], [1.0])}, "no strong command completed after fault 2 (half-open)"),
        ({"completions": Completions([0.5, 25.0], [1.0])}, "strong commands completed only 21.0 s after fault 2 (half-open)"),
        ({"strikes": [STRIKES[0], attrs.evolve(STRIKES[1], touched=0)]}, "fault 2 (half-open) touched nothing: it proves nothing"),
        ({"strikes": STRIKES[:1]}, "1 of 2 faults struck"),
        ({"schedule": [], "strikes": []}, "there was no time for a fault: the run proves nothing"),
        ({"check": {**CHECK, "vacuous": "9 operations were answered"}}, "the check is vacuous: 9 operations were answered"),
        ({"completions": Completions(COMPLETIONS.strong, [])}, "no strong, or no causal, command completed: the run proves nothing"),
    ],
)
def test_a_run_does_not_pass(changes: dict[str, Any], problem: str) -> None:
    told = judged(**changes)
    assert not told["passed"]
    assert problem in told["problems"]


def test_of_a_run_that_was_stopped_only_what_was_done_is_asked_for_and_it_is_partial() -> None:
    assert not judged()["partial"]
    cut = {"strikes": STRIKES[:1], "completions": Completions(COMPLETIONS.strong[:3], []), "agreement": Agreement("unknown", why="stopped")}
    told = judged(stopped="stopped by SIGINT", **cut)
    assert (told["passed"], told["partial"], told["problems"]) == (False, True, ["stopped by SIGINT"])
    broken = judged(stopped="stopped by SIGINT", check={**CHECK, "causal": "no"}, **cut)
    assert broken["problems"] == ["stopped by SIGINT", "causal: no"]


def test_every_fault_is_listed_with_what_was_planned() -> None:
    assert [fault["fault"] for fault in judged()["faults"]] == [fault.as_json() for fault in SCHEDULE]
