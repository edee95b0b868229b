"""The adaptive policy keeps its bounds whatever it is told, holds where that gathers, stops where it does not, and follows the load."""

from __future__ import annotations

import math

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transport.adaptive import (
    BATCH_DELAY_SECONDS_MAX,
    PAUSE_SENDS_MAX,
    PAUSE_SENDS_MIN,
    POINTS_MIN,
    SEND_SHARE,
    AdaptivePolicy,
    policy_named,
)
from transport.batch import Batcher, FixedPolicy, TurnPolicy
from transport.errors import LocalMisuse

COST = 12e-6
"""Seconds a send takes, as on a small machine; the wanted time between two sends is above the longest hold."""


few = settings(max_examples=25, deadline=None)


@attrs.define
class Line:
    """A link in virtual time: frames come, the batcher holds or sends, a timer sends what is due."""

    policy: AdaptivePolicy = attrs.Factory(AdaptivePolicy)
    now: float = 0.0
    due: float = math.inf
    sends: int = 0
    held: int = 0
    """Flushes that were held back."""
    frames: int = 0
    longest_wait: float = 0.0
    untold: int = 0
    """Sends that the policy does not want to be told of."""
    batcher: Batcher = attrs.field(init=False)
    _first_at: float | None = None

    def __attrs_post_init__(self) -> None:
        self.batcher = Batcher(self.policy)

    def flush(self, gap: float, size: int = 100, cost: float = COST, *, busy: bool = True) -> None:
        """Let ``gap`` seconds pass, then a turn queues a frame and flushes; not busy: there is no other turn behind it."""
        arrives = self.now + gap
        if self.due <= arrives:
            self.now = self.due
            self.send(cost)
        self.now = arrives
        if self._first_at is None:
            self._first_at = self.now
        self.batcher.append([bytes(size)], self.now)
        self.frames += 1
        seconds = 0.0 if self.untold else self.batcher.hold_seconds(self.now)
        if seconds > 0:
            self.held += 1
            self.due = self.now + seconds
        if seconds <= 0 or not busy:
            self.send(cost)

    def send(self, cost: float) -> None:
        assert self._first_at is not None
        self.longest_wait = max(self.longest_wait, self.now - self._first_at)
        self._first_at, self.due = None, math.inf
        count = self.batcher.queued_bytes
        if self.untold:
            self.untold -= 1
        else:
            self.untold = self.policy.sent(self.batcher.fresh_frames, count, cost, self.now)
        self.batcher.sent(count)
        self.sends += 1

    def steady(self, flushes: int, gap: float, *, size: int = 100, cost: float = COST, busy: bool = True) -> float:
        """Flush at a steady pace; return the frames per send of these flushes."""
        frames, sends = self.frames, self.sends
        for _ in range(flushes):
            self.flush(gap, size, cost, busy=busy)
        return (self.frames - frames) / max(1, self.sends - sends)


moments = st.tuples(
    st.sampled_from([0.0, 1e-6, 2e-5, 5e-5, 1e-4, 3e-4, 1.0]), st.sampled_from([1, 100, 5000, 70_000]), st.floats(0, 0.01), st.booleans()
)


@few
@given(st.lists(st.tuples(moments, st.integers(1, 60)), max_size=12), st.sampled_from([0.0, 5e-5, BATCH_DELAY_SECONDS_MAX]))
def test_no_frame_waits_longer_than_the_bound(runs: list[tuple[tuple[float, int, float, bool], int]], most: float) -> None:
    line = Line(AdaptivePolicy(most))
    for (gap, size, cost, busy), times in runs:
        for _ in range(times):
            line.flush(gap, size, cost, busy=busy)
            assert 0 <= line.policy.delay_seconds <= most
            assert line.batcher.queued_bytes < line.policy.full_bytes, "what is full leaves at once"
            assert line.longest_wait <= most + 1e-9


@few
@given(st.floats(2e-6, 9e-5), st.floats(COST, 1e-4))
def test_a_dense_steady_load_is_gathered_up_to_the_wanted_delay(gap: float, cost: float) -> None:
    line = Line()
    line.steady(300, gap, cost=cost)
    gathered = line.steady(700, gap, cost=cost)
    assert line.policy.delay_seconds == pytest.approx(min(cost / SEND_SHARE, BATCH_DELAY_SECONDS_MAX))
    assert gathered == pytest.approx(math.ceil(BATCH_DELAY_SECONDS_MAX / gap), rel=0.5)


@few
@given(st.floats(1.1 * BATCH_DELAY_SECONDS_MAX, 1.0), st.floats(0, 0.001))
def test_a_thin_load_is_never_held(gap: float, cost: float) -> None:
    line = Line()
    assert line.steady(500, gap, cost=cost) == 1
    assert line.held == 0


def test_sends_that_cost_little_are_not_gathered() -> None:
    line = Line()
    assert line.steady(2000, 4e-5, cost=SEND_SHARE * 4e-5 / 2) == 1
    assert line.held == 0


def test_large_flushes_are_not_held() -> None:
    line = Line()
    assert line.steady(2000, 2e-5, size=40_000) == 1
    assert line.held == 0


@few
@given(st.floats(1e-6, 9e-5), st.integers(1, 5000))
def test_holds_that_never_gather_die_out(gap: float, flushes: int) -> None:
    """An idle process sends what it holds at once: each hold is in vain, and they become exponentially rare."""
    line = Line()
    assert line.steady(flushes, gap, busy=False) == 1
    rounds = 2 + math.log2(1 + flushes / PAUSE_SENDS_MIN)
    assert line.held <= -POINTS_MIN * rounds
    assert line.longest_wait == 0


def test_holding_comes_back_when_it_pays_again() -> None:
    line = Line()
    line.steady(1000, 3e-5, busy=False)
    line.steady(1000, 3e-5)
    assert line.steady(300, 3e-5) > 5
    assert line.steady(300, 3e-5, busy=False) == pytest.approx(1, abs=0.01)
    assert line.policy.delay_seconds == 0


def test_a_pause_is_never_longer_than_its_bound() -> None:
    line = Line()
    line.steady(3 * PAUSE_SENDS_MAX, 3e-5, busy=False)
    line.steady(PAUSE_SENDS_MAX + 100, 3e-5)
    assert line.steady(300, 3e-5) > 5


@pytest.mark.parametrize("thin_seconds", [3e-4, 1.0])
def test_a_load_that_becomes_dense_or_thin_is_followed_within_a_hundred_sends(thin_seconds: float) -> None:
    line = Line()
    for _ in range(3):
        line.steady(100, thin_seconds)
        assert line.policy.delay_seconds == 0
        line.steady(100, 2e-5)
        assert line.policy.delay_seconds == BATCH_DELAY_SECONDS_MAX


def test_a_load_at_the_edge_does_not_make_it_alternate() -> None:
    """Within a factor of two of the edge it stays what it was, on or off."""
    changes = 0
    line = Line()
    line.steady(1000, 5e-5)
    for place in range(2000):
        before = line.policy.delay_seconds > 0
        line.flush((8e-5, 1.6e-4)[place % 2])
        changes += (line.policy.delay_seconds > 0) != before
    assert changes <= 1


def test_a_send_that_lost_the_processor_does_not_count_for_what_it_took() -> None:
    line = Line()
    line.steady(200, 1.5e-4)
    assert line.policy.cost_seconds == pytest.approx(COST, rel=0.1)
    line.flush(1.5e-4, cost=0.5)
    assert line.policy.cost_seconds < 1.2 * COST


def test_a_link_that_tells_nothing_of_its_sends_never_holds() -> None:
    policy = AdaptivePolicy()
    assert all(policy.hold_seconds(frames, 10, 0.0) == 0 for frames in range(1, 1000))


def test_the_rest_of_a_partial_send_teaches_nothing() -> None:
    line = Line()
    line.steady(200, 2e-5)
    before = (line.policy.gap_seconds, line.policy.cost_seconds, line.policy.delay_seconds)
    line.policy.sent(0, 1000, 1e-3, line.now + 1.0)
    assert (line.policy.gap_seconds, line.policy.cost_seconds, line.policy.delay_seconds) == before


def test_each_link_learns_for_itself() -> None:
    shared = AdaptivePolicy(1e-4, 5000)
    one, other = Line(shared.for_link()), Line(shared.for_link())
    one.steady(1000, 1e-5)
    assert (one.policy.delay_seconds, other.policy.delay_seconds, shared.delay_seconds) == (1e-4, 0, 0)
    assert (other.policy.delay_seconds_max, other.policy.full_bytes) == (1e-4, 5000)


def test_a_negative_bound_is_refused() -> None:
    with pytest.raises(LocalMisuse, match="-1"):
        AdaptivePolicy(-1)


def test_every_batching_has_its_policy() -> None:
    fixed = policy_named("fixed", 7e-5)
    assert isinstance(fixed, FixedPolicy)
    assert fixed.delay_seconds == 7e-5
    assert isinstance(policy_named("turn", 7e-5), TurnPolicy)
    assert isinstance(policy_named("adaptive", 7e-5), AdaptivePolicy)
    with pytest.raises(LocalMisuse, match="always"):
        policy_named("always", 0.0)
