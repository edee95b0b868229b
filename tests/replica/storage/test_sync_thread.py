from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from replica.storage.jobs import Job
from replica.storage.sync_thread import InPlace, SyncThread

if TYPE_CHECKING:
    from collections.abc import Iterator


class Gated(Job):
    """A job that ends when it is let go; ``threads`` tells where it ran."""

    def __init__(self, *, closed: bool = False) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.threads: list[int] = []
        if not closed:
            self.gate.set()

    def run(self) -> None:
        self.threads.append(threading.get_ident())
        self.gate.wait()
        self.done = True


@pytest.fixture
def thread() -> Iterator[SyncThread]:
    made = SyncThread()
    yield made
    made.close()


def test_a_job_that_is_short_is_done_when_run_returns_and_ran_elsewhere(thread: SyncThread) -> None:
    jobs = [Gated() for _ in range(100)]
    assert all(thread.run(job, 5.0) and job.done for job in jobs)
    ran = {one for job in jobs for one in job.threads}
    assert len(ran) == 1
    assert threading.get_ident() not in ran


def test_a_job_that_is_long_is_left_behind_and_can_be_waited_for(thread: SyncThread) -> None:
    job = Gated(closed=True)
    assert not thread.run(job, 0.001)
    before = job.done
    job.gate.set()
    thread.wait()
    assert (before, job.done) == (False, True)
    thread.wait()  # there is nothing any more
    assert thread.run(Gated(), 5.0)


def test_one_job_at_a_time(thread: SyncThread) -> None:
    job = Gated(closed=True)
    thread.run(job, 0.0)
    with pytest.raises(AssertionError, match="one job"):
        thread.run(Gated(), 0.0)
    job.gate.set()
    thread.wait()


def test_the_thread_ends_when_it_is_closed() -> None:
    before = set(threading.enumerate())
    made = SyncThread()
    (own,) = set(threading.enumerate()) - before
    made.close()
    own.join(5.0)
    assert not own.is_alive()


def test_in_place_a_job_is_done_whatever_it_takes() -> None:
    runner, job = InPlace(), Gated()
    assert runner.run(job, 0.0)
    runner.wait()
    runner.close()
    assert job.threads == [threading.get_ident()]
