"""Real local clusters: one for all tests that leave it whole, a fresh one for each test that breaks it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from replica.cluster_file import ClusterFile, parse_cluster
from replica.config import Settings
from triskele.child import child_environment
from triskele.cluster import local_cluster

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from triskele.cluster import LocalCluster


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterFile]:
    """Three replicas for all tests that leave them whole, in processes of ``triskele up``."""
    folder = tmp_path_factory.mktemp("whole")
    ready = folder / "ready.json"
    environment = {name: value for name, value in child_environment().items() if not name.startswith("TRISKELE_")}
    with (folder / "up.log").open("w") as log:
        command = [sys.executable, "-m", "triskele", "up", "--port", "0", "--ready-file", str(ready), "--handshake-seconds", "1"]
        up = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=folder)
    deadline = time.monotonic() + 30
    while not ready.exists():
        assert up.poll() is None, (folder / "up.log").read_text()
        assert time.monotonic() < deadline, (folder / "up.log").read_text()
        time.sleep(0.02)
    file = parse_cluster(str(ready))
    yield file
    dead = [place.id for place in file.replicas if place.pid is None or not alive(place.pid)]
    up.terminate()
    assert up.wait(10) == 0
    assert dead == [], (folder / "up.log").read_text()


@pytest.fixture
async def cluster() -> AsyncIterator[LocalCluster]:
    """Three replicas in processes of their own, serving, for one test."""
    async with local_cluster(3, Settings(), say=lambda _line: None) as running:
        yield running


def alive(pid: int) -> bool:
    """Whether a process lives."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def status_of(file: ClusterFile, replica: int) -> dict[str, Any]:
    """Ask a replica's ``/status``."""
    with urllib.request.urlopen(f"{file.replica(replica).admin}/status", timeout=5) as answer:
        status: dict[str, Any] = json.load(answer)
    return status


def counters_of(file: ClusterFile, replica: int) -> dict[str, Any]:
    """Ask a replica's running totals."""
    counters: dict[str, Any] = status_of(file, replica)["counters"]
    return counters


def addresses_of(file: ClusterFile) -> str:
    """List the native addresses."""
    return ",".join(file.addresses())


def resident_bytes(pid: int) -> int:
    """Return a process's resident memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


def resident(file: ClusterFile, replica: int) -> int:
    """Return a replica's resident memory, bytes."""
    pid = file.replica(replica).pid
    assert pid is not None
    return resident_bytes(pid)
