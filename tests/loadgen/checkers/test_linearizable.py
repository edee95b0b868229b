"""Linearizability says no where it must, and gives the verdicts that others gave on their histories."""

from __future__ import annotations

import csv
from pathlib import Path
from time import process_time

import pytest

from loadgen.checkers.formats import format_of, read
from loadgen.checkers.linearizable import check_linearizable
from loadgen.checkers.verdict import NO, UNKNOWN, YES
from tests.loadgen.checkers.scripts import history

RECORDED = Path(__file__).resolve().parents[3] / ".." / "shared" / "histories"
"""Recorded histories of others, if they lie beside the checkout."""
OWN = Path(__file__).parent / "recorded"
"""Small ones that are always there."""
SECONDS_MAX = 1.0


def answer(text: str, seconds: float = 30.0) -> str:
    return check_linearizable(history(text), seconds).answer


@pytest.mark.parametrize(
    "text",
    [
        "a put x 1\nb get x = -",  # a lost write
        "a put x 1\na put x 2\nb get x = 1",  # an old value
        "a get x = 1",  # a value from nowhere
        "a get x = 1\nb put x 1",  # a value from the future
        "a put x 1\nw> b put x 2\nc get x = 2\nd get x = 1\nw<",  # back again
        "a put x 1\na cas x 2 3",  # a cas that found what was not there
        "a put x 1\na cas x 1 2 refused",  # a cas that did not find what was there
        "a put x 1\nb cas x 1 2\nc cas x 1 3",  # one value replaced twice
        "a put x 1\na delete x\nb get x = 1",  # a deleted value
        "a put x 1 fail\nb get x = 1",  # a failed write that was seen
        "a causal put x 1\na causal put x 2\nb get x = 2\nb get x = 1\nb get x = 2",  # there and back again
        "a put x 1\nb put y 1\nc scan x z 9 = x:1",  # a scan that misses a key
        "w> a put x 1\nv> b put y 1\nc scan x z 9 = x:1\nd scan x z 9 = y:1\nw<\nv<",  # two scans that saw different orders
        "a put x 1\nb get x = 1 @4\nc put x 2\nd cas x @4 3",  # a version that is gone
        "a put x 1\nb get x = 1 @4\nc cas x @4 3 refused",  # a version that is there
        "a put x 1 unknown\nb append x 2\nc get x = 21",  # the other way round
        "a put x 1\na append x 2\nb get x = 1",  # a lost append
    ],
)
def test_it_says_no(text: str) -> None:
    verdict = check_linearizable(history(text), 30.0)
    assert verdict.answer == NO
    assert verdict.counterexample is not None
    assert verdict.counterexample.operations


@pytest.mark.parametrize(
    "text",
    [
        "w> a put x 1\nb get x = -\nc get x = 1\nw<",
        "w> a put x 1\nb get x = 1\nw< unknown\nc get x = 1",
        "a put x 1 unknown\nb get x = -\nc get x = 1",  # it took effect late
        "a causal put x 1\nb get x = -\nc get x = 1",  # a causal write may too
        "a put x 1\nb causal get x = -",  # a causal read may be late
        "a put x 1\na cas x 2 3 refused\na cas x 1 2\na get x = 2",
        "a cas x 1 2 unknown\nb put x 1\nc get x = 2",
        "a put x 1\na delete x\nb get x = -",
        "a put y 1\nb put x 1\nc scan x z 9 = x:1 y:1",
        "a put x 1\nb put y 1\nc scan x - 1 = x:1",  # the page ends before y
        "a cas x @4 1\nb get x = 1",  # a version that nobody knows
        "a put x 1\nb get x = 1 @4\nc put x 1\nd cas x @4 3 refused",  # the same value with another version
        "a put x 1 unknown\nb append x 2\nc get x = 12",  # what nobody read was appended to
        "a put x 1\na append x 2\nb get x = 12\na put x 12 unknown",  # one value in two ways
        "a put x 1\na append x 2\nb get x = 12\na put x 2\na put x 12\nb get x = 12",
        "a put x 1\na put y 1\nb causal delete x\nc causal delete y\nd causal delete y\ne scan x z 9 = -",  # two late writes at once
    ],
)
def test_it_says_yes(text: str) -> None:
    assert answer(text) == YES


def test_it_is_unknown_when_time_is_up_unless_something_else_is_violated() -> None:
    hard = [f"w{number}> p{number} cas x - {number} unknown" for number in range(400)]
    hard += [f"q{number}> p{number} put x v{number % 3}" for number in range(400)]
    hard += [f"q{number}<" for number in range(400)] + [f"r get x = v{number % 2}" for number in range(9)]
    verdict = check_linearizable(history("\n".join(hard)), 0.0)
    assert (verdict.answer, verdict.reason) == (UNKNOWN, "key x: 809 operations were not judged within 0 s")
    assert answer("\n".join([*hard, "a get y = 1"]), 0.0) == NO


def test_keys_tied_by_scans_are_named_in_the_counterexample() -> None:
    found = check_linearizable(history("a put x 1\nb put y 1\nc scan x z 9 = x:1"), 30.0).counterexample
    assert found is not None
    assert "keys x to y (tied by scans)" in found.why
    register = history("a put x 1\nb get x = -")
    for operation in register.operations:
        operation.key = b""
    found = check_linearizable(register, 30.0).counterexample
    assert found is not None
    assert found.why.startswith("the register:")


def recorded() -> list[tuple[Path, str, str]]:
    """Return (file, format, verdict of those who recorded it)."""
    files = [(file, format_of(file), NO if "bad" in file.name else YES) for file in sorted(OWN.iterdir())]
    if RECORDED.is_dir():
        with (RECORDED / "jepsen-etcd" / "verdicts.csv").open() as table:
            files += [(RECORDED / "jepsen-etcd" / row["file"], "jepsen-log", row["linearizable"]) for row in csv.DictReader(table)]
        files += [(file, "edn", NO if "bad" in file.name else YES) for file in sorted((RECORDED / "kv").glob("*.txt"))]
    return files


@pytest.mark.parametrize(("file", "form", "expected"), recorded(), ids=lambda value: value.name if isinstance(value, Path) else "")
def test_it_agrees_with_others_on_their_histories_in_no_time(file: Path, form: str, expected: str) -> None:
    begun = process_time()
    made = read(file, form)
    assert check_linearizable(made, 30.0).answer == expected
    assert process_time() - begun < SECONDS_MAX
