"""What a key can have held where an operation was told only what it did not hold."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

import pytest

from loadgen.checkers.causality import Causality
from loadgen.checkers.doubts import INITIAL, Doubts
from loadgen.checkers.hybrid import check_hybrid
from loadgen.checkers.operation import Operation
from loadgen.checkers.pairing import paired
from loadgen.checkers.sources import sources_of
from loadgen.checkers.verdict import NO, YES
from tests.loadgen.checkers.orders import session_order
from tests.loadgen.checkers.scripts import causality

if TYPE_CHECKING:
    from loadgen.checkers.operation import History

HISTORIES = 1500
EACH_MIN = 500
"""So many of them are to have an order, and as many to have none; else they show little."""


def left(text: str) -> list[list[int]]:
    """Return the places of what may have been there, as causality alone tells, for each doubt."""
    made = causality(text)
    doubts, found = Doubts(made), []
    for doubt in doubts.open:
        past = list(made.latest(doubt.key, made.clocks[doubt.reader.place], doubt.reader))
        found.append([each.place if isinstance(each, Operation) else each for each in doubts.left(doubt, past, made.clocks)])
    return found


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("a causal put x 1\na cas x 1 2 refused", []),  # nothing else was ever written
        ("a cas x 1 2 refused\na put x 1", [INITIAL]),  # it came before
        ("a causal put x 1\nb put x 2\na cas x 1 3 refused", [1]),
        ("a causal put x 1\nb put x 2 unknown\na cas x 1 3 refused", [1]),
        ("a causal put x 1\nb put x 2 fail\na cas x 1 3 refused", []),
        ("a causal put x 1\nb delete x\na cas x 1 3 refused", [1]),
        ("a put x 0\na put x 1\na cas x 1 3 refused\na put x 2", []),  # one is before what was not there, one behind the cas
        ("b put x 2\nb put x 3\nb put x 4\na cas x 1 9 refused\na put x 1", [INITIAL, 0]),
        ("a cas x - 1 refused", []),  # it was absent
        ("a put x 1\na delete x\na cas x - 2 refused", []),
        ("a put x 1\na delete x\nb put x 3\na cas x - 2 refused", [2]),
        ("a delete x\na put x 1\na get x = -", []),
        ("a delete x\na put x 1\nb delete x\na get x = -", [2]),
        ("a put x 1\nb cas x 9 2 unknown\nc cas x 2 3 unknown\na cas x 1 4 refused", []),  # neither can have swapped: nobody wrote 9
        ("a put x 1\na get x = -\nb delete x", []),  # the delete was asked for too late
        ("b delete x\nc get x = -\nd put x 1", [INITIAL, 0]),
    ],
)
def test_what_may_have_been_there_is_what_nothing_known_came_behind(text: str, places: list[int]) -> None:
    assert left(text) == [places]


def test_a_cas_that_expected_what_nobody_wrote_or_a_version_that_nobody_knows_raises_no_doubt() -> None:
    assert left("a put x 1\nb cas x 2 3 refused\nb cas x @9 4 refused") == []


@pytest.mark.parametrize(
    "text",
    [
        "a causal put x 1\na cas x 1 2 refused\nb get x = 1",  # the cas of a session does not see the session's own causal write
        "p> a put x 1\nq> b put x 2\nc> a cas x 1 3\nd> b cas x 2 4\np<\nq<\nc< refused\nd< refused",  # each put must be the last
        "a causal put x 1\nb get x = 1\nb cas x 1 2 refused",
        "a causal put x 1\nb causal put x 2\nc get x = 2\na cas x 1 3 refused\nc get x = 1",  # only the other put explains it, and it came first
        "a delete x\nb put x 1\nb causal get x = -",  # in real time the delete is over
        "a put x 1\nb delete x unknown\nc get x = -\nd get x = 1",  # the only delete was before that
        "a causal put x 1\na causal delete x\na cas x - 2 refused",
    ],
)
def test_what_nothing_explains_is_a_violation(text: str) -> None:
    verdict = check_hybrid(causality(text))
    assert verdict.answer == NO
    assert verdict.counterexample is not None
    assert verdict.counterexample.pattern == "no common order"


@pytest.mark.parametrize(
    "text",
    [
        "a causal put x 1\nb put x 2 unknown\na cas x 1 3 refused\nc get x = 2",
        "p> a put x 1\nq> b put x 2\nc> a cas x 1 3\nd> b cas x 2 4\np<\nq<\nc< refused\nd<\ne get x = 4",
        "a put x 1\na cas x 1 2 fail",  # it failed for another reason, and tells nothing
        "a put x 1\nb cas x 1 2 unknown\na cas x 1 3 refused",
        "a cas x - 1\nb delete x\nc get x = -",  # a cas that found the key as it began
        "p> a delete x\nb put x 1\nb causal get x = -\np<",
    ],
)
def test_what_something_explains_is_let_go(text: str) -> None:
    assert check_hybrid(causality(text)).answer == YES


def random_history(random: Random) -> History:
    """Return up to eight operations of two or three sessions on one key; gets are strong, some outcomes are unknown, answers are any."""
    events: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = []
    values: list[str | None] = [None]
    for number in range(random.randint(3, 8)):
        op = random.choice(["get", "put", "put", "cas", "cas", "delete"])
        event: dict[str, Any] = {"type": "invoke", "process": random.randrange(3), "id": number, "key": "x", "op": op}
        answer = {**event, "type": "ok"}
        event |= {"number": number} if op != "get" else {}
        if op in {"put", "delete"} and random.random() < 0.4:
            event["consistency"] = answer["consistency"] = "causal"
        if op == "get":
            answer["value"] = random.choice(values)
        elif op == "cas":
            event["expected"] = random.choice(values)
            answer |= {} if random.random() < 0.4 else {"type": "fail", "swapped": False}
        if op in {"put", "cas"}:
            event["value"] = str(number)
            values.append(event["value"])
        events.append(event)
        waiting.append(answer if random.random() < 0.85 else answer | {"type": "unknown"})
        while waiting and random.random() < 0.6:
            events.append(waiting.pop(random.randrange(len(waiting))))
    return paired(events + waiting)


def has_order(made: Causality) -> bool:
    """Try every order of the operations on one key, with and without those whose outcome is unknown."""
    operations = [operation for own in made.sessions.values() for operation in own]
    before = session_order(made) | {(a.place, b.place) for a in operations if a.strong for b in operations if a.returned < b.invoked}
    missing = {b.place: {a for a, other in before if other == b.place} for b in operations}
    tried: set[tuple[frozenset[int], bytes | None]] = set()
    waiting: list[tuple[frozenset[int], bytes | None]] = [(frozenset(), None)]
    while waiting:
        configuration = done, state = waiting.pop()
        if len(done) == len(operations):
            return True
        if configuration in tried:
            continue
        tried.add(configuration)
        for operation in operations:
            if operation.place not in done and missing[operation.place] <= done:
                waiting += [(done | {operation.place}, following) for following in outcomes(operation, state)]
    return False


def outcomes(operation: Operation, state: bytes | None) -> list[bytes | None]:
    """Return what the key may hold afterwards; nothing: the answer does not fit."""
    if operation.kind == "get":
        return [state] if operation.seen == state else []
    if operation.refused:
        return [state] if operation.expected != state else []
    kept = [] if operation.answered else [state]
    return kept if operation.kind == "cas" and operation.expected != state else [*kept, operation.value]


def test_a_history_with_an_order_is_never_refused_and_one_without_hardly_ever_let_go() -> None:
    random, answers = Random(7), {True: [0, 0], False: [0, 0]}
    for _ in range(HISTORIES):
        made = paired_causality(random)
        answers[has_order(made)][check_hybrid(made).answer == YES] += 1
    assert answers[True][False] == 0
    assert min(answers[True][True], answers[False][False]) >= EACH_MIN
    assert answers[False][True] <= 0.03 * answers[False][False]


def paired_causality(random: Random) -> Causality:
    made = random_history(random)
    return Causality(made, sources_of(made))
