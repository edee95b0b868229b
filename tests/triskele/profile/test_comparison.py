from __future__ import annotations

from pathlib import Path

import attrs
import pytest

from replica.config import SettingError
from replica.profiling.recording import Stack
from tests.replica.profiling.recorded import MAIN, SMALL, STEP, USAGE, record, with_usage
from tests.triskele.profile.profiled import LOAD, MACHINE, process, result
from triskele.profile.comparison import comparable, compare
from triskele.profile.document import plain


def told(old: dict[str, object], new: dict[str, object]) -> list[str]:
    return plain(compare(old, new, ("a", "b"))).splitlines()


def line(lines: list[str], begin: str) -> list[str]:
    return next(one for one in lines if one.startswith(begin))[len(begin) :].split()


FASTER = result(process(recording=attrs.evolve(SMALL, usage=attrs.evolve(USAGE, cpu_seconds=2.0))), load={**LOAD, "throughput_per_second": 150_000.0})


def test_the_rate_and_the_costs_are_told_before_after_and_changed() -> None:
    lines = told(result(process()), FASTER)
    assert line(lines, "operations/s") == ["100,000", "150,000", "+50.0%"]
    assert line(lines, "cpu, us/operation") == ["4.00", "2.00", "-50.0%"]
    assert line(lines, "protocol, us/operation") == ["2.00", "1.00", "-50.0%"]
    assert line(lines, "send calls/operation") == ["0.0001", "0.0001", "+0.0%"]


def test_a_function_that_moved_by_more_than_chance_is_named() -> None:
    many = attrs.evolve(SMALL, stacks=[Stack(one.frames, one.samples * 100, one.cpu_ns) for one in SMALL.stacks])
    less = record(((MAIN, STEP), 2000, 200), ((MAIN,), 8000, 800))
    lines = told(result(process(recording=many)), result(process(recording=less)))
    moved = lines[lines.index("leader: functions whose own time moved") :]
    assert line(moved, "main") == ["replica/__main__.py", "0.00", "3.20", "+3.20"]
    assert line(moved, "Replica.step") == ["replica/core/replica.py", "2.00", "0.80", "-1.20"]


def test_what_chance_explains_is_not_told_as_a_move() -> None:
    few = record(((MAIN, STEP), 3, 30), ((MAIN,), 2, 20))
    other = record(((MAIN, STEP), 2, 20), ((MAIN,), 3, 30))
    assert "None by more than 2 standard errors of the samples." in told(result(process(recording=few)), result(process(recording=other)))


def test_what_few_samples_have_not_seen_is_no_move() -> None:
    few = record(((MAIN, STEP), 20, 20))
    many = record(((MAIN, STEP), 940, 940), ((MAIN,), 60, 60))
    assert "None by more than 2 standard errors of the samples." in told(result(process(recording=few)), result(process(recording=many)))


def test_followers_are_compared_by_their_mean_whichever_replica_led() -> None:
    slow = with_usage(SMALL, cpu_seconds=6.0)
    old = result(process(), process("replica-1", "follower"), process("replica-2", "follower", slow))
    new = result(process("replica-2"), process("replica-0", "follower"))
    lines = told(old, new)
    assert "followers: costs, means of 2 and 1" in lines
    follower = lines[lines.index("followers: costs, means of 2 and 1") :]
    assert line(follower, "cpu, us/operation") == ["5.00", "4.00", "-20.0%"]


def test_without_operations_shares_are_compared() -> None:
    idle = {**process(), "operations": 0, "cpu_us_per_operation": None}
    lines = told(result(idle, load=None), result(idle, load=None))
    assert line(lines, "protocol, % of its cpu") == ["50.00", "50.00", "+0.0%"]
    assert not any("calls/operation" in one for one in lines)


def test_profiles_that_were_not_measured_alike_say_so() -> None:
    other = {**result(), "machine": {**MACHINE, "cores": 8}, "load": {**LOAD, "settings": {**LOAD["settings"], "threads": 4}}}  # type: ignore[dict-item]
    assert "They were not measured alike: cores 2 and 8; threads 8 and 4." in told(result(), other)
    assert not any("not measured alike" in one for one in told(result(), result()))
    assert any("load of our own in one of them only" in one for one in told(result(), result(load=None)))


def test_a_result_that_is_not_what_it_says_is_told_with_its_folder_and_its_cause() -> None:
    spoiled = result(process()) | {"machine": None}
    with pytest.raises(SettingError, match="is not what its schema says: TypeError") as error:
        comparable(spoiled, Path("folder"), "--compare")
    assert isinstance(error.value.__cause__, TypeError)
