"""A short run of the fuzzer over every reader, and everything that ever failed in a long one."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import attrs
import pytest

from replica.wire_cbor import REASONS
from tests.fuzz.conversation import hold_conversation, hold_conversations
from tests.fuzz.mutations import Mutator
from tests.fuzz.running import BLOCK, CORPUS, INPUT_SECONDS_MAX, fuzz
from tests.fuzz.spoiling import Spoiler
from tests.fuzz.targets import TARGETS, target_of

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.fuzz.judging import Tell

WIRE_INPUTS = 20_000
INPUTS = {"admin": 400}
INPUTS_OF_OTHERS = 1500


def test_no_payload_breaks_a_promise(tmp_path: Path) -> None:
    verdicts = fuzz(TARGETS["wire"], range(WIRE_INPUTS // BLOCK), WIRE_INPUTS, 1, tmp_path).verdicts
    assert verdicts["BROKEN"] == 0
    assert verdicts.total() == WIRE_INPUTS
    # The run is worth something only if it reaches behind the first refusals.
    assert WIRE_INPUTS // 20 < verdicts["taken"] < WIRE_INPUTS // 2
    assert verdicts.keys() - {"taken"} <= REASONS.keys()
    assert len(verdicts) > 14


@pytest.mark.parametrize("name", [name for name in TARGETS if name != "wire"])
def test_no_input_breaks_a_promise_of_its_reader(name: str, tmp_path: Path) -> None:
    inputs = INPUTS.get(name, INPUTS_OF_OTHERS)
    verdicts = fuzz(TARGETS[name], range(-(-inputs // BLOCK)), inputs, 1, tmp_path).verdicts
    assert verdicts["BROKEN"] == 0
    assert verdicts.total() == inputs
    assert inputs // 20 < verdicts["taken"] < inputs // 2  # some are right, most are not


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.payload")), ids=lambda path: path.stem)
def test_what_failed_once_holds(path: Path) -> None:
    target_of(path.stem).judge(path.read_bytes())


def test_every_kept_input_has_its_reader() -> None:
    assert {target_of(path.stem).name for path in CORPUS.iterdir()} <= TARGETS.keys()
    with pytest.raises(ValueError, match="nobody"):
        target_of("nobody-33b385156cb4c9e6")


def test_a_seed_gives_the_same_payloads_again() -> None:
    one, two = Mutator(Random("7/0")), Mutator(Random("7/0"))
    assert [one.payload() for _ in range(100)] == [two.payload() for _ in range(100)]


@pytest.mark.parametrize("name", TARGETS)
def test_a_seed_gives_the_same_inputs_again(name: str) -> None:
    one, two = (TARGETS[name].source(Random("7/0")) for _ in range(2))
    assert [one() for _ in range(20)] == [two() for _ in range(20)]


def test_spoiled_inputs_are_mostly_near_the_good_ones() -> None:
    good = bytes(range(200))
    source = Spoiler(Random(3), [good], [b"word"])
    inputs = [source.input() for _ in range(1000)]
    assert 20 < sum(data == good for data in inputs) < 200
    assert sum(data[:20] == good[:20] or data[-20:] == good[-20:] for data in inputs) > 600
    assert any(b"word" in data for data in inputs)


def test_a_broken_promise_is_kept_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A planted fault: a decoder that gives up with an exception of another kind."""

    def broken(_: bytes) -> str:
        raise ZeroDivisionError

    report = fuzz(attrs.evolve(TARGETS["frames"], judge=broken), range(1), 3, 1, tmp_path)
    assert report.verdicts == {"BROKEN": 3}
    kept = list(tmp_path.glob("frames-*.payload"))
    assert {str(path) for path in kept} == set(report.kept)
    assert 1 <= len(kept) <= 3
    assert "frames: seed 1, block 0: kept as" in capsys.readouterr().err


def test_what_takes_too_long_is_a_broken_promise(tmp_path: Path) -> None:
    def late(inputs: Iterable[bytes], tell: Tell) -> None:
        for data in inputs:
            tell(data, "taken", INPUT_SECONDS_MAX)

    assert fuzz(attrs.evolve(TARGETS["frames"], together=late), range(1), 3, 1, tmp_path).verdicts == {"BROKEN": 3}


def test_conversations_that_are_held_together_end_as_each_does_alone() -> None:
    source = TARGETS["admin"].source(Random("7/0"))
    inputs, told = [source() for _ in range(50)], []
    hold_conversations(inputs, lambda data, verdict, _seconds: told.append((data, verdict)))
    assert told == [(data, hold_conversation(data)) for data in inputs]
