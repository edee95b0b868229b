"""Child processes of a comparison: peers, which only run, and workers of ours, which are told and answer in JSON lines. All end with their block."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from tools.peers_wires import PeerError
from triskele.child import child_environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

GRACE_SECONDS: Final = 15.0
START_SECONDS: Final = 30.0


def free_ports(count: int) -> list[int]:
    """Return ports of loopback that nobody listens at."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


@contextmanager
def running(command: Sequence[str], folder: Path, name: str, **more: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a program for the length of the block; what it says goes to ``NAME.log``."""
    with (folder / f"{name}.log").open("w", encoding="utf-8") as log:
        keywords = {"stdin": subprocess.DEVNULL, "stdout": log, **more}
        process = subprocess.Popen(command, cwd=folder, stderr=log, text=True, process_group=0, **keywords)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(GRACE_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


class Worker:
    """A process of ours that does what it is told."""

    def __init__(self, name: str, process: subprocess.Popen[str], log: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self._name, self._lines, self._answers, self._kill, self._log = name, process.stdin, process.stdout, process.kill, log

    def tell(self, **order: object) -> None:
        """Send an order; a worker that is gone is heard of by its missing answer."""
        try:
            self._lines.write(json.dumps(order) + "\n")
            self._lines.flush()
        except BrokenPipeError:
            pass

    def answer(self, seconds: float) -> Any:
        """Return its next answer.

        Raises:
            PeerError: None came in time, or it tells a failure.
        """
        watch = threading.Timer(seconds, self._kill)
        watch.start()
        line = self._answers.readline()
        watch.cancel()
        if not line:
            raise PeerError(f"{self._name} ended, or said nothing for {seconds:g} s: {last_line(self._log)}")
        told = json.loads(line)
        if isinstance(told, dict) and "failure" in told:
            raise PeerError(f"{self._name}: {told['failure']}")
        return told


@contextmanager
def worker(module: str, folder: Path, name: str, environment: Mapping[str, str] | None = None) -> Iterator[Worker]:
    """Run a module of ours as a worker for the length of the block."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "env": {**child_environment(), **(environment or {})}}
    with running([sys.executable, "-P", "-m", module], folder, name, **pipes) as process:
        yield Worker(name, process, folder / f"{name}.log")


def last_line(log: Path) -> str:
    """Return what a process said last, for people."""
    lines = [line for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "its log is empty"


def wait_until(ready: Callable[[], bool], processes: Mapping[str, subprocess.Popen[str]], folder: Path) -> None:
    """Wait until peers are ready.

    Raises:
        PeerError: One of them has ended, or they take too long.
    """
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        for name, process in processes.items():
            if process.poll() is not None:
                raise PeerError(f"{name} ended with status {process.returncode}: {last_line(folder / f'{name}.log')}")
        if time.monotonic() > deadline:
            raise PeerError(f"{', '.join(processes)} were not ready after {START_SECONDS:g} s")
        time.sleep(0.05)
