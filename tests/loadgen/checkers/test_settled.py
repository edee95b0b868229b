"""What follows from a doubt that only one write can settle: it took effect and was seen, with all the consequences."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from loadgen.checkers.causal import check_causal
from loadgen.checkers.causality import Causality
from loadgen.checkers.hybrid import check_hybrid
from loadgen.checkers.linearizable import check_linearizable
from loadgen.checkers.pairing import BEFORE, paired
from loadgen.checkers.settled import Settled
from loadgen.checkers.sources import sources_of
from loadgen.checkers.verdict import NO, YES
from tests.loadgen.checkers.orders import has_common_order
from tests.loadgen.checkers.scripts import causality, events, history

HISTORIES = 600
EACH_MIN = 200
"""So many of them are to have an order, and as many to have none; else they show little."""

GONE = "a causal put x 1\nb causal delete x\na causal get x = -\na causal get x = 1"
"""The only delete was seen, so that what it deleted cannot come back."""

GONE_BY_STRONG_READ = "a put x 1\nb delete x\nc get x = -\nc causal get x = 1"

STALE_BY_WHAT_THE_DELETER_HAD_DONE = """
    d causal put y 2
    d causal put y 3
    d causal delete x
    a causal put x 1
    a causal get x = -
    a causal get y = 2
"""
"""Who saw the delete must have seen what its session had written before."""

SWAPPED_BEHIND = "c cas x - 3 unknown\na causal put x 2\na cas x 2 5 refused"
"""Only 3 can have been there, but whoever wrote it found the key absent."""

ABSENT_BEHIND = """
    one> a cas x - 1
    two> a cas x - 2
    b> b put x 3
    one< refused
    two< ok
"""
"""Only 3 can have been there, and the second cas found the key absent behind it."""


@pytest.mark.parametrize("text", [GONE, GONE_BY_STRONG_READ, STALE_BY_WHAT_THE_DELETER_HAD_DONE, SWAPPED_BEHIND, ABSENT_BEHIND])
def test_what_was_settled_has_consequences(text: str) -> None:
    assert check_linearizable(history(text), 30.0).answer == YES
    assert check_causal(causality(text)).answer == YES
    assert not has_common_order(causality(text))
    assert check_hybrid(causality(text)).answer == NO


@pytest.mark.parametrize(
    "text",
    [
        "a put x 1\nb delete x\nc causal get x = -\nc causal get x = 1",  # it had seen neither of both, and then one
        "a causal put x 1\nb causal delete x\na causal get x = -\na causal put x 2\na causal get x = 2",
        "c cas x - 3 unknown\na cas x 3 5 refused",
        "a put x 1\nb put x 2 unknown\na cas x 1 3 refused\nc causal get x = 1\nc causal get x = 2",
        "a get x = -\nb> b put x 3\na causal put x 1\nc get x = 1\na cas x 1 2 refused",
    ],
)
def test_what_does_not_follow_is_let_go(text: str) -> None:
    assert has_common_order(causality(text))
    assert check_hybrid(causality(text)).answer == YES


def test_who_replaced_what_is_followed_through_any_number_of_commands() -> None:
    made = causality("a put x 1\nb cas x 1 2 unknown\nb cas x 2 3 unknown\nc get y = -")
    settled = Settled(made)
    put, *swaps, read = made.history.operations
    edges = [(a.place, b.place) for a, b, _ in settled.saw(read, swaps[1])]
    assert edges == [(swaps[1].place, read.place), (swaps[0].place, swaps[1].place), (put.place, swaps[0].place)]
    assert settled.happened == {swap.place for swap in swaps}
    assert read.place in settled.look_again()
    assert settled.causality.precedes(put, read)
    assert not made.precedes(put, read)  # the others' causality is as it was


def test_a_cas_that_found_the_key_absent_may_have_come_behind_a_delete() -> None:
    made = causality("a put x 1\na delete x\nb cas x - 2 unknown\nc get y = -")
    settled = Settled(made)
    cas, read = made.history.operations[2:]
    list(settled.saw(read, cas))
    assert [doubt.reader for doubt in settled.raised] == [cas]


def test_what_a_cas_expected_that_nobody_wrote_was_there_before() -> None:
    made = paired([BEFORE, *events("b cas x old 2 unknown\na causal put x 1\na cas x 1 3 refused")])
    assert check_hybrid(Causality(made, sources_of(made))).answer == YES


def random_history(random: Random) -> list[dict[str, Any]]:
    """Return up to seven operations of three sessions on one key or two, some causal, some of unknown outcome; answers are any."""
    recorded: list[dict[str, Any]] = []
    waiting: list[dict[str, Any]] = []
    values: dict[str, list[str | None]] = {key: [None] for key in random.choice(["x", "x", "xy"])}
    for number in range(random.randint(3, 7)):
        op, key = random.choice(["get", "get", "put", "put", "cas", "cas", "delete"]), random.choice(list(values))
        event: dict[str, Any] = {"type": "invoke", "process": random.randrange(3), "id": number, "key": key, "op": op}
        event |= {"number": number} if op != "get" else {}
        event |= {"consistency": "causal"} if op != "cas" and random.random() < 0.5 else {}
        event |= {"expected": random.choice(values[key])} if op == "cas" else {}
        answer = event | {"type": "ok"}
        if op == "get":
            answer["value"] = random.choice(values[key])
        elif op == "cas" and random.random() < 0.5:
            answer |= {"type": "fail", "swapped": False}
        if op in {"put", "cas"}:
            event["value"] = str(number)
            values[key].append(event["value"])
        recorded.append(event)
        waiting.append(answer if random.random() < 0.8 else answer | {"type": "unknown"})
        while waiting and random.random() < 0.6:
            recorded.append(waiting.pop(random.randrange(len(waiting))))
    return recorded + waiting


def test_only_what_has_no_order_is_refused_and_nearly_all_of_it() -> None:
    random, answers = Random(11), {True: [0, 0], False: [0, 0]}
    for _ in range(HISTORIES):
        made = paired(random_history(random))
        order = Causality(made, sources_of(made))
        answers[has_common_order(order)][check_hybrid(order).answer == YES] += 1
    assert answers[True][False] == 0
    assert min(answers[True][True], answers[False][False]) >= EACH_MIN
    assert answers[False][True] <= 0.01 * answers[False][False]
