"""Counters of replicas: differences over the window, and nulls where there are none."""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
import trio

from loadgen.observer import SYSCALLS, Observer, counters_of, difference
from replica.cluster_file import ClusterFile, ReplicaPlace
from replica.config import Settings
from replica.server import serve
from triskele.admin_client import AdminUnreachable

if TYPE_CHECKING:
    from pathlib import Path

FIRST = {
    "role": "follower", "incarnation": "5d00000001",
    "cpu_seconds": 1.0, "rss_bytes": 10, "rss_peak_bytes": 20, "frames_out": 100, "frames_in": 50, "sends": 80, "commands": 1000,
    "bytes_sent": 5000, "syscalls": {"send": 1, "receive": 2, "poll": 3, "sync": 0, "other": 4}, "turn_marks": 3,
    "turn_seconds_since_mark": 0.0, "turn_cpu_seconds_since_mark": 0.0, "turn_seconds_max": 9.0, "turn_cpu_seconds_max": 8.0,
    "batch_delay_seconds": 0.0,
}  # fmt: skip
LAST = {
    "role": "leader", "incarnation": "5d00000001",
    "cpu_seconds": 3.5, "rss_bytes": 30, "rss_peak_bytes": 40, "frames_out": 300, "frames_in": 150, "sends": 180, "commands": 4000,
    "bytes_sent": 25_000, "syscalls": {"send": 101, "receive": 102, "poll": 103, "sync": 0, "other": 4}, "turn_marks": 3,
    "turn_seconds_since_mark": 0.002, "turn_cpu_seconds_since_mark": 0.001, "turn_seconds_max": 9.0, "turn_cpu_seconds_max": 8.0,
    "batch_delay_seconds": 0.0,
}  # fmt: skip


def test_a_window_is_the_difference_of_two_samples() -> None:
    assert difference(FIRST, LAST, 3000) == {
        "role": "leader", "cpu_seconds": 2.5, "rss_bytes": 30, "rss_peak_bytes": 40,
        "syscalls": {"send": 100, "receive": 100, "poll": 100, "sync": 0, "other": 0}, "syscalls_per_operation": 0.1, "frames_per_send": 2.0,
        "commands_per_frame": 30.0, "bytes_sent": 20_000, "batch_delay_seconds": 0.0, "turn_seconds_max": 0.002,
        "turn_cpu_seconds_max": 0.001, "restarted": False,
    }  # fmt: skip


def test_a_replica_without_both_samples_has_nulls_under_the_same_names() -> None:
    for found in (difference(None, LAST, 3000), difference(FIRST, None, 3000), difference(None, None, 3000)):
        assert set(found) == set(difference(FIRST, LAST, 3000))
        assert set(found.values()) == {None}


@pytest.mark.parametrize(
    "changed",
    [
        {"incarnation": "5d00000002"},  # it may have done more since than its predecessor had when the window opened
        {"incarnation": "5d00000002", "cpu_seconds": 0.5, "bytes_sent": 10},
        {"incarnation": None, "cpu_seconds": 0.5},
        {"incarnation": None, "syscalls": FIRST["syscalls"] | {"poll": 0}},  # type: ignore[operator]  # an older replica, which tells no incarnation
    ],
)
def test_a_replica_that_was_restarted_in_the_window_has_nulls_and_says_why(changed: dict[str, Any]) -> None:
    first = FIRST if changed["incarnation"] else FIRST | {"incarnation": None}
    found = difference(first, LAST | changed, 3000)
    assert set(found) == set(difference(FIRST, LAST, 3000))
    assert (found.pop("restarted"), found.pop("role")) == (True, "leader")
    assert set(found.values()) == {None}


@pytest.mark.parametrize(
    ("first", "last"), [({}, {"turn_marks": 4}), ({"turn_marks": None}, {"turn_marks": None}), ({"turn_marks": 0}, {"turn_marks": 0})]
)
def test_longest_turns_of_another_span_than_the_window_are_not_told(first: dict[str, Any], last: dict[str, Any]) -> None:
    """Another load's mark, an older replica, no mark."""
    found = difference(FIRST | first, LAST | last, 3000)
    assert (found["turn_seconds_max"], found["turn_cpu_seconds_max"], found["cpu_seconds"]) == (None, None, 2.5)


def test_nothing_done_has_no_ratios() -> None:
    found = difference(LAST, LAST, 0)
    assert (found["syscalls_per_operation"], found["frames_per_send"], found["commands_per_frame"]) == (None, None, None)


async def test_a_replica_that_does_not_answer_is_left_out() -> None:
    observer = Observer(ClusterFile(replicas=(ReplicaPlace(id=4, admin="http://127.0.0.1:1"), ReplicaPlace(id=5))))
    await observer.open()
    await observer.close(1.0)
    assert [(replica["id"], replica["cpu_seconds"], replica["rss_series"]) for replica in observer.report(10)] == [(4, None, []), (5, None, [])]


async def test_an_unknown_address_is_said() -> None:
    with pytest.raises(AdminUnreachable, match="no admin address is known"):
        await counters_of("")


async def test_real_replicas_tell_all_counters(cluster: ClusterFile) -> None:
    observer = Observer(cluster)
    await observer.open()
    await observer.close(0.5)
    report = observer.report(1)
    assert sorted(str(replica["role"]) for replica in report) == ["follower", "follower", "leader"]
    for replica in report:
        assert not replica["restarted"]
        assert set(replica["syscalls"]) == set(SYSCALLS)
        assert replica["rss_bytes"] > 1 << 20
        assert replica["turn_seconds_max"] >= replica["turn_cpu_seconds_max"] >= 0
        assert [second for second, _ in replica["rss_series"]] == [0.0, 0.5]


async def test_turns_before_the_window_are_none_of_its_longest(cluster: ClusterFile) -> None:
    before = Observer(cluster)
    await before.open()
    await before.close(0.1)
    found = Observer(cluster)
    await found.open()
    assert {counters["turn_seconds_since_mark"] for counters in found.first.values()} == {0.0}
    assert all(counters["turn_seconds_max"] > 0 for counters in found.first.values())
    await found.close(0.1)
    assert all(replica["turn_seconds_max"] is not None for replica in found.report(1))
    await before.close(0.2)  # it has ended later than the other began
    assert all(replica["turn_seconds_max"] is None for replica in before.report(1))


async def test_a_replica_that_starts_again_on_its_folder_is_another_process(tmp_path: Path) -> None:
    free = "127.0.0.1:0"
    settings = Settings(listen=free, websocket=free, admin=free)
    alone = ClusterFile(cluster_id="c", mode="ho", durability="disk", replicas=(ReplicaPlace(id=0, address="127.0.0.1:9", data_dir=str(tmp_path)),))
    samples: list[dict[str, Any]] = []
    for _ in range(2):
        told: list[dict[str, str]] = []
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(partial(serve, settings, alone, 0, listening=told.append))
                while not told:  # noqa: ASYNC110 - told by a callback
                    await trio.sleep(0.01)
                samples += [await counters_of(told[0]["admin"]) for _ in range(2)]
                nursery.cancel_scope.cancel()
    assert [difference(one, other, 1)["restarted"] for one, other in pairwise(samples)] == [False, True, False]
