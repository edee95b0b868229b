from __future__ import annotations

from tests.runtime.catalogue import CATALOGUE, GROUPS, deck, group_of, names_for, needs_disk
from triskele.testing import fault_points, task_names


def test_every_point_and_every_task_has_its_faults() -> None:
    for point in fault_points(client=False):
        assert f"raise at {point}" in CATALOGUE
        assert f"stop at {point}" in CATALOGUE
    for point in fault_points(client=True):
        assert f"raise in a client at {point}" in CATALOGUE
    for task in task_names():
        assert f"cancel {task}" in CATALOGUE
    for task in task_names(client=True):
        assert f"cancel client {task}" in CATALOGUE


def test_seeds_that_follow_each_other_try_everything_equally_often() -> None:
    names = [name for seed in range(len(CATALOGUE)) for name in names_for(seed, 3)]
    assert sorted(names) == sorted([*CATALOGUE] * 3)
    assert names[: len(CATALOGUE)] != names[len(CATALOGUE) : 2 * len(CATALOGUE)], "what comes together differs"


def test_a_deck_has_faults_that_need_no_disk_first() -> None:
    cards = deck(7)
    assert [needs_disk(name) for name in cards] == sorted(map(needs_disk, cards))
    assert 0.2 < sum(map(needs_disk, cards)) / len(cards) < 0.7


def test_groups_tell_faults_apart() -> None:
    assert {group_of(name) for name in CATALOGUE} == set(GROUPS)
    assert group_of("cancel client link") == "tasks of clients cancelled"
    assert group_of("cancel link") == "tasks of replicas cancelled"
    assert group_of("stop alone") == group_of("kill") == "processes, clocks, disks and links"
