"""Snapshots add up and subtract field by field."""

from __future__ import annotations

from transport.statistics import HISTOGRAM_BUCKETS, HubStatistics, LinkStatistics, SystemCalls, new_histogram


def some(n: int) -> LinkStatistics:
    return LinkStatistics(frames_in=n, bytes_out=2 * n, syscalls=SystemCalls(send=n, other=1), frames_per_send=(n,) * HISTOGRAM_BUCKETS)


def test_links_add_up() -> None:
    assert some(1) + some(2) == LinkStatistics(
        frames_in=3, bytes_out=6, syscalls=SystemCalls(send=3, other=2), frames_per_send=(3,) * HISTOGRAM_BUCKETS
    )


def test_a_window_is_the_difference_of_two_snapshots() -> None:
    assert some(5) + some(7) - some(5) == some(7)
    before, after = HubStatistics(turns=1, links=some(1)), HubStatistics(turns=4, links=some(3))
    assert (after - before).turns == 3
    assert (after - before).links.frames_in == 2


def test_system_calls_have_a_total() -> None:
    assert SystemCalls(send=1, receive=2, poll=3, other=4).total == 10


def test_a_histogram_starts_empty() -> None:
    assert new_histogram() == [0] * HISTOGRAM_BUCKETS
