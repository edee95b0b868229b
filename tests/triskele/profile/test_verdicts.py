from __future__ import annotations

import attrs

from tests.replica.profiling.recorded import SMALL, USAGE, with_usage
from tests.triskele.profile.profiled import process, result
from triskele.profile.verdicts import harmless, key_findings


def busy(cpu_seconds: float, name: str = "replica-0") -> dict[str, object]:
    return process(name, "leader", with_usage(SMALL, cpu_seconds=cpu_seconds))


def test_a_process_that_kept_a_core_busy_is_what_limits() -> None:
    told = key_findings(result(busy(9.5), idle=0.5))[0]
    assert told.startswith("**Bound by the processor time of replica-0**: it kept a core 95% busy")


def test_busy_cores_limit_when_no_process_does_alone_and_strangers_are_named() -> None:
    told = key_findings(result(busy(6.0), busy(6.0, "replica-1"), idle=0.02))[0]
    assert told.startswith("**Bound by processor time, shared**: no process kept a core busy by itself (replica-0 60%)")
    assert "0.76 cores went to others" in told


def test_an_idle_process_is_not_held_up_by_strangers_that_keep_the_cores_busy() -> None:
    idle = process(recording=with_usage(SMALL, cpu_seconds=0.1, waiting_seconds=0.1))
    assert key_findings(result(idle, idle=0.0))[0].startswith("**Not bound by processor time**")
    unknown = process(recording=with_usage(SMALL, cpu_seconds=0.1, waiting_seconds=None))
    assert key_findings(result(unknown, idle=0.0))[0].startswith("**Bound by processor time, shared**")


def test_time_left_means_that_waiting_sets_the_pace() -> None:
    told = key_findings(result(idle=0.6))[0]
    assert told.startswith("**Not bound by processor time**: the busiest process, replica-0, used 40% of a core")


def test_every_process_tells_its_cost_and_its_largest_areas() -> None:
    assert "replica-0 (leader): 40% of a core, 4.00 us per operation; protocol 50%, network writes 30%, state machine 20%" in key_findings(result())
    assert key_findings(result())[-1].startswith("clients: 40% of a core")


def test_small_areas_and_short_pauses_are_ruled_out_with_their_figures() -> None:
    told = harmless(result())
    assert "encoding: at most 0.0% of a process's time (replica-0); were it free, nobody would notice" in told
    assert not any(line.startswith(("protocol", "network writes", "other")) for line in told)
    assert "the collector of replica-0: pauses 0.20% of the time, the longest 15.0 ms" in told
    assert "the number of cores: the machine was 30% idle" in told


def test_without_samples_nothing_is_said_of_areas() -> None:
    idle = [process(name, recording=attrs.evolve(SMALL, stacks=())) for name in ("replica-0", "replica-1")]
    told = harmless(result(*idle))
    assert told[0] == "of areas and functions of replica-0, replica-1 nothing can be said: too little processor time for a sample"
    assert not any("nobody would notice" in line for line in told)
    assert any("nobody would notice" in line for line in harmless(result(idle[0], process("replica-1"))))


def test_a_long_pause_is_not_ruled_out() -> None:
    slow = attrs.evolve(USAGE, collector=attrs.evolve(USAGE.collector, pause_seconds_max=0.05))
    assert not any("collector" in line for line in harmless(result(process(recording=attrs.evolve(SMALL, usage=slow)))))


def test_nothing_is_said_of_a_process_s_share_where_cores_are_short() -> None:
    assert not any("processor time of" in line or "number of cores" in line for line in harmless(result(idle=0.05)))
