"""The certificate can fail: every planted bug is found, and without it the same seed passes."""

from __future__ import annotations

import warnings

import pytest

from replica.core.election import Election
from tests.planted.again import WORLDS, find_again, moved
from tests.scenarios.cluster import Cluster
from tests.sim.clocks import Clock
from tests.sim.planted import BUGS, RECORDED, world_of
from tests.sim.run import run_seed
from tests.sim.words import Words

RIGHT_SEEDS = 3
"""Other seeds of the same mode and size that must pass with right clocks."""


@pytest.mark.filterwarnings("default:.*record that one:UserWarning")
@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug: str) -> None:
    """By the recorded rule; where only another seed finds it any more, the summary of the tests says so."""
    report = find_again(bug)
    assert report, moved(bug, None)
    assert report.story, "a failure tells what led to it"
    assert report.command_line == f"python -m tests.sim --seed {report.seed} --mode {report.mode} --replicas {report.replicas} --planted {bug}"
    if report.seed != RECORDED[bug][0]:
        warnings.warn(moved(bug, report), stacklevel=1)


def test_every_bug_has_a_recorded_seed() -> None:
    assert list(RECORDED) == list(BUGS)


@pytest.mark.parametrize(("world", "seed"), sorted({(world_of(bug), seed) for bug, (seed, _) in RECORDED.items()}, key=str), ids=str)
def test_without_a_bug_the_recorded_seeds_pass(world: str | None, seed: int) -> None:
    """Also: nothing of a planted bug stays behind."""
    assert run_seed(seed, None, None, world).failure == ""


def test_reads_by_lease_are_right_while_clocks_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nobody looks at what reads rest on it is found by the clocks: the same worlds without drift have nothing against it."""
    monkeypatch.setattr(Clock, "begin", lambda _clock: None)
    monkeypatch.setattr(Words, "check_read", lambda _words, _operation, _client: None)
    first = RECORDED["reads_by_lease"][0]
    for seed in (first, *range(first % WORLDS, WORLDS * RIGHT_SEEDS, WORLDS)):
        assert run_seed(seed, None, None, "reads_by_lease").failure == ""


def test_it_is_the_trial_that_keeps_who_was_cut_off_from_disturbing(monkeypatch: pytest.MonkeyPatch) -> None:
    """No world is the worse for an election too many, so this one is planted by itself (``test_election`` has the promise)."""
    campaign = Election.campaign

    def in_earnest(self: Election, *, trial: bool, forced: bool = False) -> bool:  # noqa: ARG001 - the signature is the core's
        return campaign(self, trial=False, forced=forced)

    monkeypatch.setattr(Election, "campaign", in_earnest)
    cluster = Cluster(election_seconds=0.5)
    cluster.isolate(2)
    cluster.run(5.0, delay=0.05)
    cluster.rejoin(2)
    cluster.run(1.0, delay=0.05)
    assert cluster.replicas[0].node.view > 1
