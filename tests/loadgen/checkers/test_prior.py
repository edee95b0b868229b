from __future__ import annotations

import pytest

from loadgen.checkers.judge import judge
from loadgen.checkers.prior import with_prior_state
from loadgen.checkers.sources import sources_of
from loadgen.checkers.verdict import NO
from tests.loadgen.checkers.scripts import history


def broken(text: str) -> list[str]:
    """Return what a history breaks of whose beginning nothing is known."""
    return [verdict.property for verdict in judge(with_prior_state(history(text))) if verdict.answer == NO]


def before(text: str) -> list[str]:
    return [str(operation) for operation in with_prior_state(history(text)).operations if operation.prior]


def test_what_was_there_before_is_a_write_before_everything() -> None:
    made = with_prior_state(history("a get x = old\nb put x 1\na get x = 1"))
    assert [operation.what for operation in made.operations] == ["put x old", "get x", "put x 1", "get x"]
    assert [operation.place for operation in made.operations] == [0, 1, 2, 3]
    assert [operation.prior for operation in made.operations] == [True, False, False, False]
    assert not made.begins_empty
    assert sources_of(made).thin_air == []


def test_what_a_cas_expected_whose_value_was_seen_was_there_before() -> None:
    assert before("a cas x old 1 unknown\nb causal get x = 1") == ["before put x old ok"]
    assert before("a cas x old 1 unknown\na cas x 1 2 unknown\nb get x = 2") == ["before put x old ok"]
    assert before("a cas x old 1 unknown\nb get x = -") == []
    assert before("a causal get x = old @3\na cas x @3 1") == ["before put x old ok"]
    assert before("a causal get x = old @3\na cas x @3 1 unknown\nb get x = 1") == ["before put x old ok"]


def test_what_only_causal_reads_saw_need_not_have_been_the_last() -> None:
    assert before("a causal get x = old\na get x = new") == ["before causal put x old ok", "before put x new ok"]


def test_a_refusal_of_absence_says_that_something_may_have_been_there() -> None:
    assert before("a cas x - 1 refused\na put x (something)") == ["before put x (something)? ok", "before delete x ok"]
    assert before("a cas x - 1 refused\nb get x = old") == ["before put x old ok"]


@pytest.mark.parametrize(
    "text",
    [
        "a cas x - 1 refused\nb put x 2\nc get x = 2",  # something was there that nobody read
        "a cas x - 1 refused\nb cas x old 2 refused\nc put x 3\nc get x = 3",
        "a cas x - 1 refused\nb causal get x = older\nc put x 3\nd delete x\nd get x = -",
        "a cas x - 1 refused\nb causal get x = -",
        "a cas x old 1 unknown\nb get x = 1",
        "a cas x old 1 unknown\nb cas x 1 2 unknown\nc cas x 2 3\nc get x = 3",
        "a causal get x = old\na get x = new",  # a replica that was behind
        "a causal get x = new\nb causal get x = old\na causal get x = old\nc get x = new",
        "a causal get x = old\nb get x = -",  # it was deleted before the history began
        "a causal get y = old\na causal get x = -\nb get x = old",  # nobody knows which of both was there first
        "a get x = old @3\na cas x @3 1\nb get x = 1",
    ],
)
def test_no_right_history_is_refused_for_what_was_there_before(text: str) -> None:
    assert broken(text) == []


@pytest.mark.parametrize(
    ("text", "properties"),
    [
        ("a get x = old\na put x 1\na get x = old", ["linearizable", "sessions", "causal", "hybrid"]),
        ("a put x 1\na causal get x = old", ["sessions", "causal", "hybrid"]),
        ("a causal put x 1\nb causal get x = 1\nb get x = old", ["sessions", "causal", "hybrid"]),
        ("a get x = one\na get x = other", ["linearizable"]),
        ("a causal get x = one @7\na causal get x = other @3", ["sessions"]),
        ("a cas x - 1 refused\na get x = -", ["linearizable"]),
        ("a put x 1\na delete x\na cas x - 1 refused", ["linearizable", "hybrid"]),
        ("a put x 1\na cas x 1 2 refused", ["linearizable", "hybrid"]),
        ("a get x = old\nb cas x old 1\nc cas x old 2", ["linearizable", "hybrid", "exactly-once"]),
        ("a cas x old 1 unknown\nb cas x old 2\nc causal get x = 1", ["hybrid", "exactly-once"]),
        ("a get x = old\nb cas x old 2 refused", ["linearizable"]),
    ],
)
def test_what_no_beginning_explains_is_a_violation(text: str, properties: list[str]) -> None:
    assert broken(text) == properties


def test_what_was_there_before_may_have_been_deleted_before() -> None:
    """Its home was behind: it had not seen a deletion that was over when the history began."""
    assert broken("a causal get x = old\na causal get x = -\nb put x 1") == []
    assert broken("a get x = old\na causal get x = -\nb put x 1") == ["sessions"], "a strong read tells what was there last"


@pytest.mark.parametrize("text", ["a get x = old\nbefore put x 1", "before put y 1\na get x = old\nbefore get y = 1"])
def test_a_session_may_be_called_before(text: str) -> None:
    assert broken(text) == []
    assert [str(operation.process) for operation in with_prior_state(history("a get x = old")).operations] == ["before", "a"]
