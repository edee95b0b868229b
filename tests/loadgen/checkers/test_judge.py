from __future__ import annotations

import gc
import json
import random
import subprocess
import sys
from typing import Any

import pytest

from loadgen.checkers.judge import answer_of, as_json, judge, lines
from loadgen.checkers.operation import Unreadable
from loadgen.checkers.pairing import paired
from loadgen.checkers.verdict import NO, PROPERTIES, UNKNOWN, YES, Verdict
from tests.loadgen.checkers.scripts import history

GOOD = "a put x 1\nb get x = 1 @4\nb cas x 1 2\na get x = 2"
BAD = "a put x 1\na put x 2\na get x = 1"


def test_all_promises_are_judged_in_their_order() -> None:
    verdicts = judge(history(GOOD))
    assert [(verdict.property, verdict.answer) for verdict in verdicts] == [(name, YES) for name in PROPERTIES]
    assert gc.isenabled()


def test_only_what_was_asked_for_is_judged() -> None:
    assert [verdict.property for verdict in judge(history(BAD), ["hybrid", "causal"])] == ["causal", "hybrid"]


def test_repeated_values_are_refused_only_where_they_matter() -> None:
    repeated = "a put x 1\na put x 1\na get x = 1"
    assert [verdict.answer for verdict in judge(history(repeated), ["linearizable"])] == [YES]
    for name in PROPERTIES[1:]:
        with pytest.raises(Unreadable):
            judge(history(repeated), [name])


def test_one_no_is_no_and_one_unknown_is_unknown() -> None:
    yes, no, unknown = (Verdict("causal", answer, 1) for answer in (YES, NO, UNKNOWN))
    assert [answer_of(verdicts) for verdicts in ([yes, yes], [yes, unknown], [unknown, no], [])] == [YES, UNKNOWN, NO, YES]


def test_the_json_has_the_result_s_check_object() -> None:
    table = as_json(history(BAD), judge(history(BAD)))
    verdicts = {name: table[name] for name in ("linearizable", "sessions", "causal", "hybrid", "exactly_once")}
    assert verdicts == {"linearizable": "no", "sessions": "no", "causal": "no", "hybrid": "no", "exactly_once": "yes"}
    assert table["operations_checked"] == 3
    assert table["counterexamples"]["causal"]["pattern"] == "WriteCORead"
    assert json.loads(json.dumps(table)) == table


def test_verdicts_are_told_with_their_counterexample_each_once() -> None:
    told = lines(judge(history(BAD), ["causal", "hybrid", "exactly-once"]))
    assert told[0] == "causal        no (3 operations)"
    assert told[1] == "  WriteCORead: 1 was read of key x although the newer 2 comes causally before"
    assert told[-3:] == [
        "hybrid        no (3 operations)",
        "  WriteCORead: 1 was read of key x although the newer 2 comes causally before (the same as for causal)",
        "exactly-once  yes (2 operations)",
    ]
    assert lines([Verdict("linearizable", UNKNOWN, 9, reason="too hard")]) == ["linearizable  unknown (too hard)"]


def test_checkers_know_nothing_of_the_store() -> None:
    """Nor do they need what the load generator needs: `triskele check` works without the extra."""
    program = "import sys, loadgen.checkers.judge, loadgen.checkers.formats, loadgen.checkers.timeline; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    assert {name.partition(".")[0] for name in loaded} & {"replica", "statemachine", "transport", "triskele", "trio", "numpy", "hdrh"} == set()


def recorded_run(seed: int) -> list[dict[str, Any]]:
    """What four sessions, each with up to three operations in flight, would record of a store that answers at one moment."""
    draw = random.Random(seed)
    store: dict[str, tuple[str, int]] = {}
    events: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = []
    numbers = dict.fromkeys("abcd", 0)
    for number in range(300):
        process, key = draw.choice("abcd"), draw.choice("xyz")
        event: dict[str, Any] = {"type": "invoke", "process": process, "id": number, "key": key, "consistency": draw.choice(["strong", "causal"])}
        answer: dict[str, Any] = {"type": "ok"}
        if draw.random() < 0.4:
            numbers[process] += 1
            event |= {"op": "put", "value": str(number), "number": numbers[process]}
            store[key] = (str(number), number + 1)
        else:
            event["op"] = "get"
            answer["value"], answer["version"] = store.get(key, (None, 0))
        events.append(event)
        waiting.append(event | answer)
        while len(waiting) > draw.randrange(4):
            events.append(waiting.pop(draw.randrange(len(waiting))))
    return events + waiting


@pytest.mark.parametrize("seed", range(5))
def test_one_altered_value_is_found_in_a_recorded_run(seed: int) -> None:
    events = recorded_run(seed)
    assert [verdict.answer for verdict in judge(paired(events))] == [YES] * 5
    read = [event for event in events if event["type"] == "ok" and event["op"] == "get" and event["consistency"] == "strong"][-1]
    first = next(event["value"] for event in events if event["op"] == "put" and event["key"] == read["key"])
    read["value"], read["version"] = first, 0
    answers = {verdict.property: verdict.answer for verdict in judge(paired(events))}
    assert (answers["linearizable"], answers["hybrid"]) == (NO, NO)
