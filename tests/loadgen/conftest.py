"""A cluster of real processes for the tests that need one; started once."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from replica.cluster_file import ClusterFile, parse_cluster
from triskele.child import child_environment

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClusterFile]:
    """Three replicas on loopback, with a leader that serves."""
    folder = tmp_path_factory.mktemp("cluster")
    ready = folder / "ready.json"
    command = [sys.executable, "-m", "triskele", "up", "--port", "0", "--ready-file", str(ready)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=child_environment(), cwd=folder)
        try:
            limit = time.monotonic() + 60
            while not ready.exists():
                assert process.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < limit, (folder / "log").read_text()
                time.sleep(0.05)
            yield parse_cluster(str(ready))
        finally:
            process.terminate()
            process.wait()
