from __future__ import annotations

from typing import Any

from replica.profiling.naming import OTHER_THREADS
from tests.replica.profiling.recorded import APPLY, MAIN, SMALL, STEP, native, python, record
from triskele.profile.flame import flame_tree


def names(node: list[Any]) -> dict[str, Any]:
    return {child[0].partition(" ")[0]: (child[1], names(child)) for child in node[3]}


def test_a_frame_is_as_wide_as_its_time_with_all_it_calls() -> None:
    tree = flame_tree(SMALL, "replica-0")
    assert tree[:2] == ["replica-0", 1_000_000]
    assert names(tree) == {
        "Replica.step": (700_000, {"Store.apply": (200_000, {})}),
        "TcpLink.flush": (300_000, {"[send]": (300_000, {})}),
    }


def test_what_every_stack_begins_with_is_left_out_but_never_a_whole_stack() -> None:
    only = flame_tree(record(((MAIN, STEP), 1, 10)), "x")
    assert names(only) == {"Replica.step": (10_000, {})}
    beside = flame_tree(record(((MAIN, STEP), 1, 10), ((native(OTHER_THREADS, "", 0),), 0, 5)), "x")
    assert set(names(beside)) == {"Replica.step", "[other"}
    assert flame_tree(record(), "x") == ["x", 0, "", []]


def test_a_frame_has_the_area_of_its_own_time() -> None:
    tree = flame_tree(SMALL, "x")
    assert {child[0].partition(" ")[0]: child[2] for child in tree[3]} == {"Replica.step": "protocol", "TcpLink.flush": ""}


def test_lines_of_one_function_are_one_frame_and_slivers_are_left_out() -> None:
    other = python("Replica.step", "replica/core/replica.py", 140, 100)
    tree = flame_tree(record(((STEP,), 1, 9000), ((other,), 1, 9000), ((APPLY,), 1, 1)), "x")
    assert names(tree) == {"Replica.step": (18_000_000, {})}
