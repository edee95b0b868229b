from __future__ import annotations

from itertools import combinations

import pytest

from replica.core.quorum import fast_quorum, majority, recovery_threshold


@pytest.mark.parametrize(
    ("voters", "commits", "fast"), [(1, 1, 1), (2, 2, 2), (3, 2, 3), (4, 3, 3), (5, 3, 4), (6, 4, 5), (7, 4, 6), (8, 5, 6), (9, 5, 7)]
)
def test_sizes(voters: int, commits: int, fast: int) -> None:
    assert (majority(voters), fast_quorum(voters)) == (commits, fast)


@pytest.mark.parametrize("failures", range(20))
def test_the_one_formula_is_the_papers_for_odd_numbers(failures: int) -> None:
    """``ceil(3f/2) + 1`` of ``2f + 1``."""
    assert fast_quorum(2 * failures + 1) == (3 * failures + 1) // 2 + 1


@pytest.mark.parametrize("voters", range(1, 40))
def test_any_two_majorities_intersect_and_no_smaller_sets_do(voters: int) -> None:
    assert 2 * majority(voters) > voters
    assert 2 * (majority(voters) - 1) <= voters


@pytest.mark.parametrize("voters", range(1, 40))
def test_what_a_fast_quorum_accepted_outweighs_any_rival_in_every_majority(voters: int) -> None:
    """A rival is accepted by those who did not accept the command: fewer, among any replicas a new leader may hear."""
    for heard in range(majority(voters), voters + 1):
        accepted = recovery_threshold(voters, heard)
        assert accepted > heard - accepted
        assert 2 * accepted - heard >= 1  # any two recovered commands share a witness


@pytest.mark.parametrize("voters", range(2, 40))
def test_one_acceptance_less_would_not_do(voters: int) -> None:
    heard = majority(voters)
    accepted = recovery_threshold(voters, heard) - 1
    assert accepted <= heard - accepted


@pytest.mark.parametrize("voters", range(1, 8))
def test_the_threshold_is_the_smallest_overlap_there_can_be(voters: int) -> None:
    """Counted over all sets rather than by formula."""
    everybody = range(voters)
    for heard in range(majority(voters), voters + 1):
        overlaps = {len(set(fast) & set(q)) for fast in combinations(everybody, fast_quorum(voters)) for q in combinations(everybody, heard)}
        assert min(overlaps) == recovery_threshold(voters, heard)


@pytest.mark.parametrize(("voters", "of_majority", "of_all"), [(3, 2, 3), (5, 2, 4), (7, 3, 6), (9, 3, 7)])
def test_recovery_thresholds(voters: int, of_majority: int, of_all: int) -> None:
    assert recovery_threshold(voters, majority(voters)) == of_majority
    assert recovery_threshold(voters, voters) == of_all


def test_recovery_from_less_than_a_majority_is_a_bug() -> None:
    with pytest.raises(AssertionError):
        recovery_threshold(5, 2)
