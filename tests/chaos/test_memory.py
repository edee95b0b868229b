"""Growth is found where it is planted, and not where processes are only young, old or restless."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.chaos.memory import OURSELVES, Growth, Sample, bytes_of, comparisons, take

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HOUR, STEP, LIFE = 3600.0, 10.0, 400.0
MEBIBYTE = 1 << 20


def lives(size: Callable[[float, float], float], life: float = LIFE) -> list[Sample]:
    """Return samples of three replicas that are started again every ``life`` seconds; ``size(when, age)`` in MiB."""
    found = []
    for step in range(int(HOUR / STEP)):
        at = step * STEP
        for replica in range(3):
            number, age = divmod(at + replica * 100.0, life)
            found.append(Sample(at, replica, 1000 * (replica + 1) + int(number), age, int(size(at, age) * MEBIBYTE), 20))
    return found


def growing(samples: list[Sample], disk: list[tuple[float, int]] | None = None) -> list[str]:
    return [growth.what for growth in comparisons(samples, disk or [], HOUR, 100 * MEBIBYTE) if growth.grows]


def test_processes_that_grow_up_and_are_started_again_are_flat() -> None:
    assert growing(lives(lambda _at, age: 100 + min(age, 120) / 4)) == []


def test_a_store_that_grows_is_found_through_starts() -> None:
    found = growing(lives(lambda at, age: 100 + min(age, 120) / 4 + at / 30))
    assert [what.split(" that")[0] for what in found] == ["least", "most"]


def test_a_process_that_leaks_is_found_in_its_long_life_whatever_the_others_are() -> None:
    found = growing(lives(lambda _at, age: 100 + age / 20, life=900.0))
    assert len(found) > 5
    assert all("steadily, in a life of" in what for what in found)
    assert growing(lives(lambda _at, age: 100 + min(age, 200) / 20, life=900.0)) == []


def test_a_process_that_goes_up_in_a_step_or_up_and_down_does_not_grow() -> None:
    assert growing(lives(lambda at, _age: 85 if 300 < at < 1200 else 122, life=10 * HOUR)) == []
    assert growing(lives(lambda at, _age: 85 if at < 1500 else 122, life=10 * HOUR)) == []
    assert growing(lives(lambda at, _age: 85 + at % 60 / 2, life=10 * HOUR)) == []


def test_the_measuring_process_is_held_to_the_same() -> None:
    own = [Sample(step * STEP, OURSELVES, 1, step * STEP, (70 + step // 4) * MEBIBYTE, 80) for step in range(int(HOUR / STEP))]
    (found,) = growing(own)
    assert found.startswith("the measuring process, steadily")


def test_a_first_process_that_began_with_nothing_is_not_the_smallest() -> None:
    assert growing(lives(lambda at, age: 60 if at + 200 < LIFE else 120 + age / 100)) == []


def test_folders_may_go_up_and_down_but_not_grow() -> None:
    assert growing([], [(at * 60.0, (100 + at % 7 * 10) * MEBIBYTE) for at in range(60)]) == []
    assert growing([], [(at * 60.0, (100 + at * 10) * MEBIBYTE) for at in range(60)]) == ["most on disk, first and second half"]


@pytest.mark.parametrize(("before", "after", "grows"), [(100, 114, False), (100, 116, True), (10, 15, False)])
def test_growth_is_more_than_a_seventh_and_more_than_a_little(before: int, after: int, grows: bool) -> None:
    growth = Growth("it", before * MEBIBYTE, after * MEBIBYTE)
    assert growth.grows is grows
    assert growth.line().startswith("GROWS: it" if grows else "flat: it")


def test_a_living_process_is_measured_and_one_that_is_not_there_is_none() -> None:
    block = bytearray(os.urandom(32 * MEBIBYTE))
    sample = take(1.0, 0, os.getpid(), 5.0)
    assert sample is not None
    assert sample.rss > len(block)
    assert sample.files > 0
    assert take(1.0, 0, 2**22 + 1, 5.0) is None


def test_a_folder_s_files_are_added_up(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_bytes(os.urandom(100_000))
    (tmp_path / "other").write_bytes(os.urandom(50_000))
    assert 150_000 <= bytes_of(tmp_path) < 200_000
