"""Back-off doubles up to its limit, is spread by jitter, and starts again after a success."""

from __future__ import annotations

from transport.backoff import Backoff


def test_waits_double_up_to_the_limit() -> None:
    backoff = Backoff(1, 5, lambda: 1.0)
    assert [backoff.wait_seconds() for _ in range(5)] == [1, 2, 4, 5, 5]


def test_jitter_spreads_each_wait_down_to_its_half() -> None:
    backoff = Backoff(1, 100, iter([0.0, 0.5, 1.0]).__next__)
    assert [backoff.wait_seconds() for _ in range(3)] == [0.5, 1.5, 4]


def test_a_success_starts_again() -> None:
    backoff = Backoff(1, 100, lambda: 1.0)
    backoff.wait_seconds()
    backoff.succeeded(lived_seconds=2)
    assert backoff.wait_seconds() == 1


def test_what_dies_at_once_was_no_success() -> None:
    """Two programs that take each other's place do not do so without a pause."""
    backoff = Backoff(1, 100, lambda: 1.0)
    backoff.wait_seconds()
    backoff.succeeded(lived_seconds=0.1)
    assert backoff.wait_seconds() == 2
