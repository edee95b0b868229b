"""Every combination of the axes' steps is a point, and what the load would refuse is refused before anything runs."""

from __future__ import annotations

from typing import Any

import pytest

from loadgen.sweep.grid import POINTS_MAX, axis_of, flags_of, name_of, points_of
from replica.config import SettingError

FILE = "mine.toml"


def points(base: dict[str, Any], **axes: Any) -> Any:
    return points_of(flags_of(base, FILE), [axis_of(name, values, FILE) for name, values in axes.items()], FILE)


def test_each_step_meets_each_of_every_other_axis() -> None:
    found = points({"seconds": 1}, pendings=[5, 15], point=[{"name": "few", "clients": 1, "threads": 2}, {"clients": 4}])
    assert [point.name for point in found] == ["pendings 5, few", "pendings 5, clients 4", "pendings 15, few", "pendings 15, clients 4"]
    assert found[0].flags == {"local": 3, "seconds": 1.0, "pendings": 5, "clients": 1, "threads": 2}
    assert found[3].flags == {"local": 3, "seconds": 1.0, "pendings": 15, "clients": 4}
    assert found[2].steps == {"pendings": "pendings 15", "point": "few"}
    assert [point.number for point in found] == [0, 1, 2, 3]


def test_flags_become_words_of_the_load_and_settings_of_the_cluster_variables() -> None:
    (point,) = points({"warmup-seconds": 0.5, "floor": True, "check": False, "forward_seconds": 0.5}, mode=["ho"])
    assert point.words() == ["--local", "3", "--warmup-seconds", "0.5", "--floor", "--no-check", "--mode", "ho"]
    assert point.variables() == {"TRISKELE_FORWARD_SECONDS": "0.5"}


@pytest.mark.parametrize(
    ("base", "axes", "message"),
    [
        ({"thread": 1}, {"pendings": [1]}, "thread in mine.toml 1: names no flag of triskele load; did you mean threads?"),
        ({"json": "x"}, {"pendings": [1]}, "json in mine.toml x: is for triskele sweep itself to say"),
        ({"cluster": "x"}, {"pendings": [1]}, "cluster in mine.toml x: is for triskele sweep itself to say"),
        ({"listen": "127.0.0.1:1"}, {"pendings": [1]}, "listen in mine.toml 127.0.0.1:1: names no flag of triskele load"),
        ({"key_space": 5, "key-space": 6}, {"pendings": [1]}, "key-space in mine.toml 6: is there twice"),
        ({}, {"pendings": [1, "two"]}, "pendings in mine.toml two: must be a whole number from 1 to 4096"),
        ({}, {"pendings": [True]}, "pendings in mine.toml True: must be a whole number from 1 to 4096"),
        ({}, {"mode": ["raft"]}, "mode in mine.toml raft: must be one of paxos, curp, ht, ho"),
        ({}, {"pendings": []}, "pendings in mine.toml []: must be a list of values or tables, and not empty"),
        ({}, {"pendings": 5}, "pendings in mine.toml 5: must be a list"),
        ({}, {}, "points of mine.toml 0: must be from 1 to 1000"),
        ({}, {"policy": [{}]}, "policy in mine.toml {}: is an empty table"),
        ({}, {"policy": [{"name": 7}]}, "name in mine.toml: must be a line of text"),
        ({}, {"policy": [{"name": "a\nb"}]}, "name in mine.toml: must be a line of text"),
        ({"pendings": 1}, {"pendings": [1, 2]}, "pendings in mine.toml 1: is in [base] and in pendings: give it once"),
        ({}, {"threads": [1, 2], "point": [{"clients": 1, "threads": 2}]}, "threads in mine.toml 2: is in threads and in point: give it once"),
        ({}, {"pendings": [5, 5]}, "point in mine.toml pendings 5: is there twice"),
        ({"local": 4}, {"pendings": [5]}, "local in mine.toml 4: must be one of 1, 3, 5, 7, 9"),
        ({"local": 0}, {"pendings": [5]}, "local in mine.toml 0: must be one of 1, 3, 5, 7, 9"),
        ({"seconds": 1}, {"operations": [5]}, "operations in mine.toml 5: --seconds limits the run too: give one of them (point operations 5)"),
        ({"heartbeat_seconds": 2.0}, {"pendings": [5]}, "election_seconds in mine.toml 1.0: must be at least 3 times heartbeat_seconds"),
        ({}, {"floor": [True], "delay_ms": [1]}, "delay_ms in mine.toml 1.0: cannot go with --floor"),
    ],
)
def test_what_is_wrong_is_one_line_with_file_key_and_value(base: dict[str, Any], axes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError) as error:
        points(base, **axes)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_too_many_points_are_refused_before_they_are_made() -> None:
    with pytest.raises(SettingError, match=rf"points of mine.toml 16000000: must be from 1 to {POINTS_MAX}"):
        points({}, pendings=list(range(1, 4001)), seed=list(range(4000)))


def test_a_name_is_a_line_that_fits() -> None:
    assert name_of("2 x 2", "name") == "2 x 2"
    with pytest.raises(SettingError):
        name_of("x" * 121, "name")
    with pytest.raises(SettingError):
        name_of("  ", "name")
