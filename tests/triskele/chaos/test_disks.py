from __future__ import annotations

import resource
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
import trio

from tests.triskele.chaos.tracing import may_trace
from triskele.chaos.disks import CannotTrace, broken, empty, fill, slowed

if TYPE_CHECKING:
    from pathlib import Path

WRITER = """
import os, sys
file = open(sys.argv[1], "wb", buffering=0)
for _ in sys.stdin:
    try:
        file.write(b"x")
        os.fdatasync(file.fileno())
        print("written", flush=True)
    except OSError as error:
        print(error.strerror, flush=True)
"""


class Writer:
    """A process that writes a byte, durably, for each line it is told."""

    def __init__(self, file: Path) -> None:
        words = [sys.executable, "-c", WRITER, str(file)]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def write(self) -> tuple[str, float]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        begun = time.perf_counter()
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip(), time.perf_counter() - begun

    def end(self) -> None:
        self.process.communicate()


def test_a_full_disk_refuses_writes_until_there_is_room_again(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "file")
    try:
        assert writer.write()[0] == "written"
        fill(writer.process.pid)
        assert writer.write()[0] == "File too large"
        empty(writer.process.pid)
        assert writer.write()[0] == "written"
        assert resource.prlimit(writer.process.pid, resource.RLIMIT_FSIZE) == resource.getrlimit(resource.RLIMIT_FSIZE)
    finally:
        writer.end()
    fill(writer.process.pid)  # it has ended: nothing


async def test_a_slow_disk_syncs_later_and_is_as_before_afterwards(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "file")
    try:
        if not may_trace():
            with pytest.raises(CannotTrace):
                async with slowed([writer.process.pid], 0.2):
                    pass
            return
        with trio.fail_after(20):
            async with slowed([writer.process.pid], 0.2):
                assert writer.write()[1] >= 0.2
        assert writer.write()[1] < 0.2
    finally:
        writer.end()


async def test_a_broken_disk_refuses_to_sync_until_it_is_mended_and_its_process_may_end_meanwhile(tmp_path: Path) -> None:
    writers = [Writer(tmp_path / name) for name in ("one", "other")]
    try:
        if not may_trace():
            with pytest.raises(CannotTrace):
                async with broken([writer.process.pid for writer in writers]):
                    pass
            return
        with trio.fail_after(20):
            async with broken([writer.process.pid for writer in writers]):
                assert [writer.write()[0] for writer in writers] == ["Input/output error"] * 2
                writers.pop().end()
        assert writers[0].write()[0] == "written"
    finally:
        for writer in writers:
            writer.end()


async def test_a_process_that_is_gone_cannot_be_slowed() -> None:
    process = await trio.lowlevel.open_process([sys.executable, "-c", ""])
    await process.wait()
    with pytest.raises(CannotTrace):
        async with slowed([process.pid], 0.2):
            pass
