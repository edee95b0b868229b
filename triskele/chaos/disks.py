"""Disks that become slow, broken or full, from outside: nothing in the replicas knows of it.

Slow: strace holds each ``fdatasync`` up.  It stops every system call of what it is attached to, so that figures are a little worse than those of a
slow disk.  Broken: strace lets each ``fdatasync`` fail with EIO, and nothing is synced.  Full: ``RLIMIT_FSIZE``, set on the process by another
one, lets no file grow; a write fails with EFBIG where a full disk says ENOSPC, which to the program is the same: the disk has refused.
"""

from __future__ import annotations

import resource
import shutil
import signal
import subprocess
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import trio

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager


class CannotTrace(Exception):
    """strace is missing, or may not attach; the message is one line."""

    exit_status = 1


def can_trace() -> bool:
    """Whether strace is there."""
    return shutil.which("strace") is not None


def slowed(pids: Sequence[int], delay_seconds: float) -> AbstractAsyncContextManager[None]:
    """Hold the syncs of these processes up for the length of the block.

    Raises:
        CannotTrace: strace cannot be used.
    """
    return _injected(pids, f"delay_exit={round(delay_seconds * 1e6)}")


def broken(pids: Sequence[int]) -> AbstractAsyncContextManager[None]:
    """Let the syncs of these processes fail with EIO, and sync nothing, for the length of the block; they may end meanwhile.

    Raises:
        CannotTrace: strace cannot be used.
    """
    return _injected(pids, "error=EIO")


@asynccontextmanager
async def _injected(pids: Sequence[int], what: str) -> AsyncIterator[None]:
    inject = f"inject=fdatasync:{what}"
    words = ["strace", "-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", inject, *(word for pid in pids for word in ("-p", str(pid)))]
    try:
        process = await trio.lowlevel.open_process(words, stderr=subprocess.PIPE)
    except OSError as error:
        raise CannotTrace(f"strace: {error.strerror or error}") from None
    assert process.stderr is not None
    try:
        await _attached(process.stderr, len(pids))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_drain, process.stderr)
            yield
            nursery.cancel_scope.cancel()
    finally:
        process.send_signal(signal.SIGINT)  # it lets go of them and ends
        with trio.CancelScope(shield=True):
            await process.wait()


async def _attached(stderr: trio.abc.ReceiveStream, count: int) -> None:
    """Wait until strace has said so of each process: ``strace: Process 123 attached``."""
    told = b""
    while told.count(b" attached") < count:
        more = bytes(await stderr.receive_some())
        if not more:
            raise CannotTrace(f"strace ended: {told.decode(errors='replace').strip()}")
        told += more


async def _drain(stream: trio.abc.ReceiveStream) -> None:
    """Read what nobody wants, so that its writer does not wait."""
    async for _ in stream:
        pass


def fill(pid: int) -> None:
    """Let no file of a process grow; nothing if it has just ended."""
    _limit(pid, 0)


def empty(pid: int) -> None:
    """Let its files grow again; nothing if it has just ended."""
    _limit(pid, None)


def _limit(pid: int, soft: int | None) -> None:
    with suppress(ProcessLookupError):
        hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)[1]
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (hard if soft is None else soft, hard))
