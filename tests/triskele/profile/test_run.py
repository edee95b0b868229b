from __future__ import annotations

import pytest

from replica.cluster_file import ClusterFile, parse_cluster
from replica.config import SettingError
from tests.replica.profiling.recorded import SMALL
from tests.triskele.profile.profiled import AFTER, BEFORE, LOAD
from triskele.profile.gathering import Gathering, ProfileFailed, Sampled
from triskele.profile.run import TAIL_SECONDS, ProfileSettings, load_of, profile, put_together


def settings(load: str | None = None, cluster: str = "127.0.0.1:1", seconds: float = 10.0) -> ProfileSettings:
    return ProfileSettings(cluster=cluster, seconds=seconds, hz=100, load=load)


def gathering(count: int = 2) -> Gathering:
    roles = ["leader", "follower", "follower"]
    found = [Sampled(number, roles[number], SMALL, BEFORE, AFTER) for number in range(count)]
    return Gathering(ClusterFile(replicas=()), 10.0, 100, found, {} if count else {0: "it is dead"}, 0.4)


def test_the_load_s_window_is_the_profile_s_and_a_moment() -> None:
    load, _ = load_of(settings("--threads 4 --quiet"))
    assert (load.seconds, load.threads, load.cluster, load.quiet) == (10 + TAIL_SECONDS, 4, "127.0.0.1:1", True)


def test_a_cluster_of_our_own_takes_the_cluster_s_flags() -> None:
    load, cluster = load_of(settings("--local 3 --durability memory", cluster=""))
    assert (load.local, cluster.durability) == (3, "memory")


@pytest.mark.parametrize("flags", ["--seconds 3", "--operations 100", "--cluster x"])
def test_what_the_profile_says_itself_is_no_flag_of_the_load(flags: str) -> None:
    with pytest.raises(SettingError, match="belongs to triskele profile itself"):
        load_of(settings(flags))


def test_the_environment_s_length_of_a_load_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRISKELE_OPERATIONS", "100")
    assert load_of(settings(""))[0].operations == 0


def test_operations_are_the_load_s_rate_over_each_process_s_own_samples() -> None:
    profiled = put_together(settings(""), gathering(), LOAD, [SMALL, SMALL])
    leader, follower, clients = profiled.result["processes"]
    assert (leader["name"], leader["role"], leader["operations"]) == ("replica-0", "leader", 1_000_000)
    assert (follower["role"], clients["name"], clients["processes"]) == ("follower", "clients", 2)
    assert list(profiled.recordings) == ["replica-0", "replica-1", "client-0", "client-1"]
    assert [name for name, _ in profiled.flames] == ["replica-0 (leader)", "replica-1 (follower)", "clients"]
    assert (profiled.result["machine_idle"], profiled.result["schema"]) == (0.4, "triskele.profile/1")


def test_without_any_sample_there_is_no_profile_but_the_reasons() -> None:
    with pytest.raises(ProfileFailed, match="no replica could be sampled: replica 0: it is dead"):
        put_together(settings(), gathering(0), None, [])


async def test_a_running_cluster_is_profiled_as_it_is(real_cluster: str) -> None:
    profiled = await profile(settings(None, real_cluster, seconds=0.3))
    assert [process["name"] for process in profiled.result["processes"]] == ["replica-0", "replica-1", "replica-2"]
    assert sorted(process["role"] for process in profiled.result["processes"]) == ["follower", "follower", "leader"]
    assert all(process["cpu_seconds"] < process["wall_seconds"] for process in profiled.result["processes"])
    assert len(parse_cluster(real_cluster).replicas) == 3
