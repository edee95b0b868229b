from __future__ import annotations

import pytest

from replica.storage.syncing import SyncPolicy


def test_it_starts_inline_and_stays_there_on_a_fast_disk() -> None:
    policy = SyncPolicy()
    for _ in range(100):
        assert not policy.threaded
        policy.measured(0.0003)


def test_a_slow_estimate_leads_to_a_thread() -> None:
    policy = SyncPolicy()
    policy.measured(0.0003)
    threaded = []
    for _ in range(9):
        policy.measured(0.005)
        threaded.append(policy.threaded)
    assert threaded == sorted(threaded)  # it switches once
    assert set(threaded) == {False, True}
    assert 0.002 < policy.estimate_seconds < 0.005


def test_one_sync_as_long_as_a_turn_leads_to_a_thread_at_once() -> None:
    policy = SyncPolicy(inline_seconds_max=1.0)
    policy.measured(0.021)
    assert policy.threaded


def test_it_comes_back_only_after_as_many_calm_syncs_in_a_row() -> None:
    policy = SyncPolicy(inline_seconds_max=0.002, calm_syncs=16)
    policy.measured(0.004)
    calm = 0
    while policy.threaded:
        policy.measured(0.0001)
        calm = calm + 1 if policy.estimate_seconds < 0.001 else 0
    assert calm == 16


def test_an_outlier_starts_the_count_anew() -> None:
    policy = SyncPolicy()
    policy.measured(0.004)
    while policy.estimate_seconds >= 0.0009:
        policy.measured(0.0001)
    policy.measured(0.009)  # the estimate leaves the calm half, not the limit
    assert 0.001 < policy.estimate_seconds <= 0.002
    for _ in range(15):
        policy.measured(0.0001)
        assert policy.threaded


@pytest.mark.parametrize("seconds", [0.0012, 0.0019])
def test_a_disk_between_the_thresholds_does_not_switch(seconds: float) -> None:
    inline, threaded = SyncPolicy(), SyncPolicy()
    threaded.measured(0.03)
    for _ in range(200):
        inline.measured(seconds)
        threaded.measured(seconds)
    assert not inline.threaded
    assert threaded.threaded
