"""A short run of the fuzzer, and everything that ever failed in a long one."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from replica.wire_cbor import REASONS
from tests.fuzz import promises
from tests.fuzz.__main__ import CORPUS, fuzz
from tests.fuzz.mutations import Mutator
from tests.fuzz.promises import judge

if TYPE_CHECKING:
    from pathlib import Path

INPUTS = 20_000


def test_no_payload_breaks_a_promise(tmp_path: Path) -> None:
    verdicts, _ = fuzz(INPUTS, 1, tmp_path)
    assert verdicts["BROKEN"] == 0
    assert verdicts.total() == INPUTS
    # The run is worth something only if it reaches behind the first refusals.
    assert INPUTS // 20 < verdicts["taken"] < INPUTS // 2
    assert verdicts.keys() - {"taken"} <= REASONS.keys()
    assert len(verdicts) > 14


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.payload")), ids=lambda path: path.stem)
def test_what_failed_once_holds(path: Path) -> None:
    judge(path.read_bytes())


def test_a_seed_gives_the_same_payloads_again() -> None:
    one, two = Mutator(Random("7/0")), Mutator(Random("7/0"))
    assert [one.payload() for _ in range(100)] == [two.payload() for _ in range(100)]


def test_a_broken_promise_is_kept_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A planted fault: a decoder that gives up with an exception of another kind."""

    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(promises, "decode", broken)
    verdicts, _ = fuzz(3, 1, tmp_path)
    assert verdicts == {"BROKEN": 3}
    assert 1 <= len(list(tmp_path.iterdir())) <= 3
    assert "seed 1, block 0: kept as" in capsys.readouterr().err
