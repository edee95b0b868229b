from __future__ import annotations

import gc
import threading
from typing import TYPE_CHECKING

import pytest
import trio

from replica.admin import Page
from replica.listening import bound_address, open_socket
from replica.reading import PAGES, Progress, pages, read_folder, resting_collector
from replica.storage.errors import DiskFailed
from triskele.admin_client import get

if TYPE_CHECKING:
    from collections.abc import Iterator


class SlowHome:
    """A folder of ten records, that goes on with each when it is told to, and may fail at the end."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.gate = threading.Semaphore(0)
        self.counted: list[int] = []
        self.failure = failure

    def read(self, tombstone_sessions_max: int, progress: Progress) -> None:  # noqa: ARG002 - the folder's
        for record in progress.count("the log", self.records(), 10):
            self.counted.append(record)
        progress.told.append("10 records")
        if self.failure is not None:
            raise self.failure

    def records(self) -> Iterator[int]:
        for record in range(10):
            assert self.gate.acquire(timeout=5.0)
            yield record


async def test_the_admin_listener_says_how_far_the_reading_is_and_goes_on_listening(caplog: pytest.LogCaptureFixture) -> None:
    home, read = SlowHome(), trio.Event()

    async def reading() -> None:
        await read_folder(home, admin)  # type: ignore[arg-type]  # as far as it is read
        read.set()

    with open_socket("127.0.0.1:0") as admin, caplog.at_level("INFO"), trio.fail_after(10):
        url = f"http://{bound_address(admin)}"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(reading)
            assert (await get(url, "/healthz")).status == 200
            for _ in range(4):
                home.gate.release()
            answers: list[bytes] = []
            while not answers or not answers[-1].endswith(b" 40 %\n"):
                answer = await get(url, "/readyz")
                assert answer.status == 503
                answers.append(answer.body)
            assert answers[-1] == b"reading the log: 40 %\n"
            assert not read.is_set()
            home.gate.release(6)
        assert read.is_set()
        assert home.counted == list(range(10))
        assert admin.fileno() >= 0, "whoever serves next has it"
    assert "read 10 records, " in caplog.text


async def test_what_is_wrong_with_the_folder_is_told_as_it_is() -> None:
    home = SlowHome(DiskFailed("folder", "I/O error"))
    home.gate.release(10)
    with open_socket("127.0.0.1:0") as admin, pytest.raises(DiskFailed, match="I/O error"):
        await read_folder(home, admin)  # type: ignore[arg-type]  # as far as it is read


def test_every_page_gives_the_reason() -> None:
    progress = Progress("the snapshot", 1, 4)
    told = pages(progress)
    assert set(told) == {"/healthz", *PAGES}
    assert {path: told[path]({}) for path in PAGES} == dict.fromkeys(PAGES, Page(503, "text/plain; charset=utf-8", b"reading the snapshot: 25 %\n"))


def test_before_anything_is_counted_no_share_is_told() -> None:
    assert Progress().reason() == "reading the data folder"


def test_the_collector_rests_and_is_as_it_was_afterwards() -> None:
    assert gc.isenabled()
    with resting_collector():
        assert not gc.isenabled()
        with resting_collector():
            pass
        assert not gc.isenabled(), "who rests already is not woken"
    assert gc.isenabled()
