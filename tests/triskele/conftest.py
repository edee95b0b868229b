from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from triskele.child import child_environment
from triskele.cluster_ports import ADMIN_OFFSET, WEBSOCKET_OFFSET

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
FAKE = (sys.executable, str(Path(__file__).parent / "fake_replica.py"))
"""Runs a stand-in for a replica."""


class Said:
    """Lines for the user, and a way to wait for one."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._more = trio.Event()

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        self._more.set()
        self._more = trio.Event()

    async def until(self, text: str) -> str:
        with trio.fail_after(20):
            while True:
                for line in self.lines:
                    if text in line:
                        return line
                await self._more.wait()


def start_up(folder: Path, *flags: str) -> tuple[subprocess.Popen[str], Path]:
    """Start ``triskele up`` at free ports and wait for its ready file."""
    ready = folder / "ready.json"
    ready.unlink(missing_ok=True)
    environment = {name: value for name, value in child_environment().items() if not name.startswith("TRISKELE_")}
    with (folder / "up.log").open("w") as log:
        command = [sys.executable, "-m", "triskele", "up", "--port", "0", "--ready-file", str(ready), *flags]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, text=True, env=environment, cwd=folder)
    deadline = time.monotonic() + 30
    while not ready.exists():
        assert process.poll() is None, (folder / "up.log").read_text()
        assert time.monotonic() < deadline, (folder / "up.log").read_text()
        time.sleep(0.02)
    return process, ready


def free_port() -> int:
    """Find a port that is free, with those of the WebSocket and the admin beside it."""
    while True:
        with suppress(OSError), socket.socket() as first, socket.socket() as second, socket.socket() as third:
            first.bind(("127.0.0.1", 0))
            port = int(first.getsockname()[1])
            second.bind(("127.0.0.1", port + WEBSOCKET_OFFSET))
            third.bind(("127.0.0.1", port + ADMIN_OFFSET))
            return port


def is_gone(pid: int) -> bool:
    """Whether a process has ended; who inherited it may not have taken note of that yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.fixture(scope="session")
def real_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Three real replicas for the whole run; the path of their ready file."""
    process, ready = start_up(tmp_path_factory.mktemp("up"))
    yield str(ready)
    process.terminate()
    assert process.wait(10) == 0


@pytest.fixture
def said() -> Said:
    return Said()


@pytest.fixture(autouse=True)
def no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("TRISKELE_")]:
        monkeypatch.delenv(name)
