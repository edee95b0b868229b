from __future__ import annotations

from typing import TYPE_CHECKING

from tests.runtime.__main__ import main, repeating
from tests.runtime.catalogue import CATALOGUE, names_for
from tests.runtime.run import FAULTS, Report
from tests.runtime.tally import TRIES_MAX, Tally

if TYPE_CHECKING:
    import pytest


def tally(strikes: dict[str, int], faults: int = 200, tried: int = 0) -> Tally:
    told = Tally(faults, tuple(strikes))
    names = [name for name, count in strikes.items() for _ in range(max(count, tried))]
    told.add(Report(1, "memory", tuple(names), tuple(name for name, count in strikes.items() for _ in range(count))), "repeat")
    return told


def test_enough_of_each_is_over_and_well() -> None:
    told = tally({"kill": 198, "stop": 2})
    assert told.is_over
    assert told.verdict() == ""


def test_too_few_of_one_kind_is_not_over_and_goes_on_with_that_kind() -> None:
    told = tally({"kill": 300, "stop": 1, "pause": 0})
    assert not told.is_over
    assert told.next_names(0, 4) == ["stop", "pause", "stop", "pause"]
    assert told.next_names(1, 3) == ["pause", "stop", "pause"]


def test_what_cannot_be_had_is_vacuous_not_passed() -> None:
    told = tally({"kill": 300, "stop": 1}, tried=TRIES_MAX * 2 + 21)
    assert told.is_over
    assert told.verdict() == "VACUOUS: 301 of 200 faults struck; fewer than 2 times: stop 1"


def test_too_few_at_all_is_vacuous() -> None:
    assert tally({"kill": 3}).verdict().startswith("VACUOUS: 3 of 200 faults struck")


def test_a_broken_promise_is_told_whatever_else_held(capsys: pytest.CaptureFixture[str]) -> None:
    told = tally({"kill": 300})
    told.add(Report(7, "disk", ("kill",), ("kill",), failure="I-VIEW", story=("first", "second")), "python -m tests.runtime --seed 7")
    assert told.verdict() == "BROKEN in 1 runs:\npython -m tests.runtime --seed 7"
    assert "first\nsecond\nI-VIEW\nseed 7 (disk) failed after: kill" in capsys.readouterr().out


def test_a_run_is_repeated_by_its_seed_and_if_need_be_its_names() -> None:
    assert repeating(Report(5, "memory", tuple(names_for(5, FAULTS)))) == "python -m tests.runtime --seed 5"
    assert repeating(Report(5, "memory", ("kill", "stop all"))) == "python -m tests.runtime --seed 5 --only 'kill,stop all'"


def test_a_few_faults_of_one_kind_from_the_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--faults", "4", "--only", "kill while paused"]) == 0
    told = capsys.readouterr().out
    assert told.endswith("every promise held\n")
    assert "kill while paused" in told
    assert "raise at" not in told


def test_a_seed_alone_says_what_struck(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seed", "1", "--only", "kill,stop"]) == 0
    assert capsys.readouterr().out == "seed 1 broke no promise: kill, stop\n"


def test_everything_is_wanted_if_nothing_is_said() -> None:
    assert Tally(10).names == tuple(CATALOGUE)
    assert Tally(10).next_names(3, 12) is None
