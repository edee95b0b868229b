"""The search says what trying every order says."""

from __future__ import annotations

from itertools import permutations
from time import monotonic
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.checkers.operation import NEVER
from loadgen.checkers.pairing import paired
from loadgen.checkers.search import OutOfTime, Search, is_linearizable
from loadgen.checkers.steps import Step, groups_of, steps_of
from tests.loadgen.checkers.scripts import history

LONG = 60.0


def legal(order: tuple[Step, ...]) -> bool:
    """Whether every answer is what the operations before it leave."""
    state: dict[bytes, bytes | None] = {}
    for step in order:
        if any(state.get(key) != value for key, value in step.needs) or (step.refuses and state.get(step.refuses[0]) == step.refuses[1]):
            return False
        if step.writes:
            key, value = step.writes
            state[key] = (state.get(key) or b"") + (value or b"") or None if step.appends else value
    return True


def in_real_time(order: tuple[Step, ...]) -> bool:
    return not any(later.returned < earlier.invoked for place, later in enumerate(order) for earlier in order[:place])


def brute(steps: list[Step]) -> bool:
    """Try all orders of all choices of what may as well not have happened."""
    optional = [step for step in steps if step.optional]
    mandatory = [step for step in steps if not step.optional]
    for chosen in range(1 << len(optional)):
        taken = mandatory + [step for place, step in enumerate(optional) if chosen >> place & 1]
        if any(in_real_time(order) and legal(order) for order in permutations(taken)):
            return True
    return False


def plain(steps: list[Step]) -> list[Step]:
    """Forget what was deduced: intervals as they were recorded."""
    for step in steps:
        operation = step.operation
        ends = (operation.answered and (operation.strong or operation.reads_only)) or operation.refused
        step.returned, step.optional, step.idle = (operation.returned if ends else NEVER), not ends, False
    return steps


@st.composite
def histories(draw: st.DrawFn, values: int) -> list[dict[str, Any]]:
    """Up to six overlapping operations on one key, or on two with scans; values repeat where ``values`` is small."""
    events: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = []
    keys = draw(st.sampled_from(["x", "xy"]))
    fresh = iter(range(1, 100))
    for number in range(draw(st.integers(2, 6))):
        op = draw(st.sampled_from(["get", "put", "put", "cas", "delete", "scan"] if len(keys) == 2 else ["get", "get", "put", "cas", "delete"]))
        value = str(next(fresh)) if not values else str(draw(st.integers(1, values)))
        seen = draw(st.sampled_from([None, "1", "2", "3"]))
        consistency = draw(st.sampled_from(["strong", "strong", "causal"])) if op in {"put", "delete"} else "strong"
        event = {"type": "invoke", "process": number, "id": number, "op": op, "key": draw(st.sampled_from(keys)), "consistency": consistency}
        answer = {**event, "type": draw(st.sampled_from(["ok", "ok", "ok", "unknown"]))}
        if op in {"put", "cas"}:
            event["value"] = value
        if op == "cas":
            event["expected"] = seen
            if draw(st.booleans()):
                answer |= {"type": "fail", "swapped": False}
        elif op == "get":
            answer["value"] = seen
        elif op == "scan":
            event |= {"key": "a", "end": None, "limit": 10}
            answer |= {"key": "a", "value": [[key, str(draw(st.integers(1, 3))), 0] for key in keys if draw(st.booleans())]}
        events.append(event)
        waiting.append(answer)
        while len(waiting) > 0 and draw(st.booleans()):
            events.append(waiting.pop(draw(st.integers(0, len(waiting) - 1))))
    return events + [answer for answer in waiting if draw(st.booleans())]


@settings(max_examples=150, deadline=None)
@given(histories(values=3) | histories(values=0))
def test_every_verdict_is_that_of_trying_all_orders(events: list[dict[str, Any]]) -> None:
    made = paired(events)
    for group in groups_of(made):
        assert is_linearizable(steps_of(group, {}), monotonic() + LONG) == brute(plain(all_steps(group)))


@st.composite
def growing(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Up to six overlapping operations on one key whose value grows."""
    events: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = []
    for number in range(draw(st.integers(2, 6))):
        op = draw(st.sampled_from(["get", "put", "append", "append"]))
        event = {"type": "invoke", "process": number, "id": number, "op": op, "key": "x"}
        if op != "get":
            event["value"] = draw(st.sampled_from(["1", "2", "12"]))
        events.append(event)
        answer = {**event, "type": draw(st.sampled_from(["ok", "ok", "unknown"]))}
        waiting.append(answer if op != "get" else {**answer, "value": draw(st.sampled_from([None, "1", "2", "12", "21", "112"]))})
        while len(waiting) > 0 and draw(st.booleans()):
            events.append(waiting.pop(draw(st.integers(0, len(waiting) - 1))))
    return events + waiting


@settings(max_examples=150, deadline=None)
@given(growing())
def test_and_where_values_grow(events: list[dict[str, Any]]) -> None:
    for group in groups_of(paired(events)):
        assert is_linearizable(steps_of(group, {}), monotonic() + LONG) == brute(plain(all_steps(group)))


def all_steps(group: list[Any]) -> list[Step]:
    """Return the steps of a group, those that ``steps_of`` leaves out as well: a refusal that fits nothing keeps them in."""
    kept = {step.operation.place: step for step in steps_of(group, {})}
    rest = [operation for operation in group if operation.place not in kept]
    return [*kept.values(), *(step for operation in rest for step in alone(operation))]


def alone(operation: Any) -> list[Step]:
    needs = [(operation.key, operation.expected)] if operation.kind == "cas" else []
    return [Step(operation, operation.invoked, NEVER, optional=True, needs=needs, writes=(operation.key, operation.value))]


def test_many_concurrent_writes_that_nobody_read_are_no_work() -> None:
    """2^60 sets of them are not looked at."""
    lines = [f"w{number}> p{number} put x {number}" for number in range(60)]
    lines += ["a put x last", *(f"w{number}<" for number in range(60)), "a get x = last"]
    [group] = groups_of(history("\n".join(lines)))
    search = Search(steps_of(group, {}), monotonic() + LONG)
    assert search.run()


def test_a_search_that_takes_too_long_ends() -> None:
    lines = [f"w{number}> p{number} put x {number}" for number in range(40)]
    lines += [f"w{number}<" for number in range(40)]
    lines += [f"q{number} get x = {number}" for number in range(40)]  # each would have to be the last
    [group] = groups_of(history("\n".join(lines)))
    steps = steps_of(group, {})
    for step in steps:
        step.idle = False
    search = Search(steps, deadline=0.0)
    search.waiting.clear()  # without that rule there are 2^40 configurations
    with pytest.raises(OutOfTime):
        search.run()


def test_of_two_writes_that_a_read_may_have_seen_the_one_that_can_wait_is_kept_for_later() -> None:
    """The read's end is nearer than both; only the deletes' own ends tell which is needed again."""
    lines = ["long> p delete x", "a put x 1", "short> b delete x", "seen> c get x", "seen< = -", "short<", "a put x 2", "c get x = -", "long<"]
    [group] = groups_of(history("\n".join(lines)))
    assert is_linearizable(steps_of(group, {}), monotonic() + LONG)
