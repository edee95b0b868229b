"""One replica as a child process: started, listened to, ended.

The child's standard input is a pipe that nobody writes to: when this process ends, however it ends, the pipe does too, and the child with it
(``--attached``).  That works on every POSIX system and cannot be forgotten, unlike a signal sent on the way out; Linux's parent-death signal
follows the thread that forked, not the process.

The child has a process group of its own: Ctrl-C in a terminal reaches the supervisor, which ends its children in order.
"""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import trio

from replica.config import VARIABLE_PREFIX

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

REPLICA_PROGRAM = (sys.executable, "-P", "-m", "replica")
"""``-P``: a folder named ``replica`` where the user happens to stand is not ours."""

_LINE_BYTES_MAX = 64 * 1024
_LAST_LINES_SECONDS = 1.0


def child_environment() -> dict[str, str]:
    """Return the environment in which a child finds the same packages as this process, installed or not."""
    root = Path(__file__).resolve().parent.parent
    environment = dict(os.environ)
    if root.name not in {"site-packages", "dist-packages"}:
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(root), environment.get("PYTHONPATH")]))
    return environment


@attrs.define(eq=False)
class Child:
    """A replica's process.

    Attributes:
        replica_id: Which replica.
        process: The process.
        announced: Set when it listens.
        settled: Set when it listens, or has ended without having come to that.
        ended: Set when it has ended and all its lines are read.
        last_line: What it wrote last to standard error.
    """

    replica_id: int
    process: trio.Process
    announced: trio.Event = attrs.field(factory=trio.Event)
    settled: trio.Event = attrs.field(factory=trio.Event)
    ended: trio.Event = attrs.field(factory=trio.Event)
    last_line: str = ""
    _announced_at: float = math.inf  # trio.current_time()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def alive(self) -> bool:
        """Whether it has not been seen to end."""
        return not self.ended.is_set() and self.process.returncode is None

    def ending(self) -> str:
        """Say how it ended."""
        status = self.process.returncode
        assert status is not None
        return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"

    def served_seconds(self) -> float:
        """Return how long it has listened by now, 0 if it never did."""
        return max(0.0, trio.current_time() - self._announced_at)

    async def listen(self, say: Callable[[str], None]) -> None:
        """Pass on what it writes, each line with its id in front, until it ends; not cancelled before that, so end it."""
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        with trio.CancelScope(shield=True):
            await self._listen(self.process.stdout, self.process.stderr, say)
        self.ended.set()
        self.settled.set()

    async def _listen(self, stdout: trio.abc.ReceiveStream, stderr: trio.abc.ReceiveStream, say: Callable[[str], None]) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_pass_on, stdout, lambda line: self._heard(line, say))
            nursery.start_soon(_pass_on, stderr, lambda line: self._heard_error(line, say))
            await self.process.wait()
            nursery.cancel_scope.deadline = trio.current_time() + _LAST_LINES_SECONDS  # should something else hold its pipes open

    def _heard(self, line: str, say: Callable[[str], None]) -> None:
        """Take the announcement; anything else on standard output is passed on."""
        if not self.announced.is_set() and line.startswith("{"):
            told: dict[str, Any] = json.loads(line)
            assert told["id"] == self.replica_id
            self._announced_at = trio.current_time()
            self.announced.set()
            self.settled.set()
        else:
            say(f"{self.replica_id} | {line}")

    def _heard_error(self, line: str, say: Callable[[str], None]) -> None:
        self.last_line = line.strip() or self.last_line
        say(f"{self.replica_id} | {line}")


async def start_child(
    program: Sequence[str], replica_id: int, flags: Sequence[str], sockets: dict[str, socket.socket], say: Callable[[str], None]
) -> Child:
    """Start a replica that listens at sockets of ours.

    Args:
        program: What takes ``triskele replica``'s flags.
        replica_id: Which replica.
        flags: Flags beside ``--id`` and the addresses.
        sockets: ``{setting name: listening socket}``; closed here once the child has them, so that nobody can connect to a dead child.
        say: Takes a line for the user.

    Raises:
        OSError: The program cannot be started.
    """
    addresses = [word for name, opened in sockets.items() for word in (f"--{name}", f"fd:{opened.fileno()}")]
    command = [*program, "--id", str(replica_id), *flags, *addresses, "--announce", "--attached"]
    try:
        process = await trio.lowlevel.open_process(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pass_fds=[opened.fileno() for opened in sockets.values()],
            process_group=0,
            env={name: value for name, value in child_environment().items() if not name.startswith(VARIABLE_PREFIX)},  # its settings are flags
        )
    finally:
        for opened in sockets.values():
            opened.close()
    say(f"replica {replica_id}: process {process.pid}")
    return Child(replica_id, process)


async def _pass_on(stream: trio.abc.ReceiveStream, say: Callable[[str], None]) -> None:
    """Cut what arrives into lines; a line longer than the limit is passed on in pieces."""
    rest = b""
    async with stream:
        async for chunk in stream:
            *lines, rest = (rest + chunk).split(b"\n")
            if len(rest) > _LINE_BYTES_MAX:
                lines.append(rest)
                rest = b""
            for line in lines:
                say(line.decode(errors="replace"))
    if rest:
        say(rest.decode(errors="replace"))
