from __future__ import annotations

import gc
import signal
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
import trio

from replica.profiling.naming import COLLECTION, named_at_once
from replica.profiling.sampler import Sampler, SamplerBusy, Samples

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from replica.profiling.recording import Recording

SECONDS_MAX = 20.0


@contextmanager
def sampling(hz: float = 250.0) -> Generator[tuple[Sampler, list[Samples]], None, None]:
    """Sample the block; what was seen is in the list when it has ended."""
    sampler, taken = Sampler(hz), list[Samples]()
    sampler.start()
    try:
        yield sampler, taken
    finally:
        taken.append(sampler.stop())


def count(sampler: Sampler) -> int:
    return sum(cell[0] for cell in list(sampler._stacks.values()))  # a copy, made in one step: signals come at any time


def until(done: Callable[[], bool], work: Callable[[], object]) -> None:
    limit = time.process_time() + SECONDS_MAX
    while not done():
        assert time.process_time() < limit, "no signal came"
        work()


def burn() -> int:
    return sum(number & 7 for number in range(2000))


def functions(recording: Recording) -> set[str]:
    return {recording.frames[stack.frames[-1]].function for stack in recording.stacks}


def through(recording: Recording) -> set[str]:
    return {recording.frames[place].function for stack in recording.stacks for place in stack.frames}


def test_samples_fall_where_the_time_goes() -> None:
    with sampling() as (sampler, taken):
        until(lambda: count(sampler) >= 10, burn)
    recording = named_at_once(taken[0])
    within = sum(stack.cpu_ns for stack in recording.stacks if any(recording.frames[place].function.startswith("burn") for place in stack.frames))
    assert within > 0.8 * recording.cpu_ns


def test_the_times_of_all_samples_are_the_processor_time() -> None:
    with sampling() as (sampler, taken):
        until(lambda: count(sampler) >= 10, burn)
    samples = taken[0]
    told = sum(cell[1] for cell in samples.stacks.values()) * 1e-9
    period = max(1 / 250, 0.010)
    assert told <= samples.main_seconds <= told + 4 * period
    assert samples.usage.cpu_seconds == pytest.approx(samples.main_seconds, abs=0.05)
    assert samples.sampling_seconds < 0.2 * samples.main_seconds


def test_tasks_are_seen_with_their_whole_stack_and_the_wait_has_no_samples() -> None:
    """A thread that samples sees Trio's run loop; and an idle process gets no signal at all."""

    async def busy(sampler: Sampler) -> None:
        until(lambda: count(sampler) >= 5, burn)
        await trio.lowlevel.checkpoint()

    async def main(sampler: Sampler) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(busy, sampler)
        before = count(sampler)
        await trio.sleep(0.1)
        assert count(sampler) <= before + 1

    with sampling() as (sampler, taken):
        trio.run(main, sampler)
    seen = through(named_at_once(taken[0]))
    assert {"unrolled_run", "test_tasks_are_seen_with_their_whole_stack_and_the_wait_has_no_samples.<locals>.busy", "burn"} <= seen


def test_native_code_is_named_by_its_call() -> None:
    column = list(range(200_000))
    with sampling() as (sampler, taken):
        until(lambda: count(sampler) >= 5, lambda: sorted(column, key=None, reverse=True))
    assert "sorted" in functions(named_at_once(taken[0]))


def test_collections_are_seen_as_such() -> None:
    rings = [[number] for number in range(100_000)]
    for ring in rings:
        ring.append(ring)  # type: ignore[arg-type]
    with sampling() as (sampler, taken):
        until(lambda: count(sampler) >= 5, gc.collect)
    assert COLLECTION in functions(named_at_once(taken[0]))


def test_there_is_one_at_a_time() -> None:
    with sampling(), pytest.raises(SamplerBusy, match="one profile at a time"):
        Sampler(100).start()
    assert not Sampler.is_running()


def test_only_the_main_thread_can_be_sampled() -> None:
    told: list[str] = []

    def start() -> None:
        try:
            Sampler(100).start()
        except SamplerBusy as error:
            told.append(str(error))

    thread = threading.Thread(target=start)
    thread.start()
    thread.join()
    assert told == ["only the main thread of a process can be profiled"]
    assert not Sampler.is_running()


def test_a_late_signal_does_not_end_the_process() -> None:
    with sampling():
        burn()
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
    signal.raise_signal(signal.SIGPROF)
