"""The examples of the documentation, run against a real cluster."""

from __future__ import annotations

import re
import subprocess  # noqa: TC003 - the annotation of a run
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio

from replica.config import Settings
from tests.loopback.conftest import addresses_of
from triskele.cluster import local_cluster

if TYPE_CHECKING:
    from replica.cluster_file import ClusterFile

ROOT = Path(__file__).resolve().parents[2]
WEBSOCKET_CLIENT = ROOT / "docs" / "examples" / "websocket_client.py"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
ADDRESSES = "127.0.0.1:7400,127.0.0.1:7401,127.0.0.1:7402"
EXAMPLES = [
    pytest.param(block, id=f"{path.name}-{number}")
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    for number, block in enumerate(BLOCK.findall(path.read_text()), 1)
]


async def run(command: list[str]) -> subprocess.CompletedProcess[bytes]:
    with trio.fail_after(30):
        return await trio.run_process(command, capture_stdout=True, capture_stderr=True, check=False, cwd=ROOT)


@pytest.mark.parametrize("block", EXAMPLES)
async def test_python_examples_run(whole: ClusterFile, block: str) -> None:
    finished = await run([sys.executable, "-c", block.replace(ADDRESSES, addresses_of(whole))])
    assert (finished.returncode, finished.stderr) == (0, b"")


def test_there_are_examples() -> None:
    assert EXAMPLES


async def test_a_websocket_client_that_is_not_ours_speaks_the_documented_protocol(whole: ClusterFile) -> None:
    paths = set()
    for _ in range(10):  # which path completes a command is a race of replicas; that both are understood is not
        finished = await run([sys.executable, str(WEBSOCKET_CLIENT), *whole.addresses("websocket")])
        out = finished.stdout.decode()
        assert finished.returncode == 0, out
        assert "every answer was right" in out
        paths |= set(re.findall(r"^strong put .*: (fast|slow)$", out, re.MULTILINE))
        if "fast" in paths:
            break
    assert "fast" in paths


def test_it_uses_nothing_of_ours() -> None:
    imported = set(re.findall(r"^(?:from|import) (\w+)", WEBSOCKET_CLIENT.read_text(), re.MULTILINE))
    assert imported & {"triskele", "replica", "transport", "statemachine", "loadgen", "tests"} == set()


async def test_it_speaks_to_a_cluster_of_another_mode_and_without_a_follower() -> None:
    async with local_cluster(3, Settings().changed("--mode", mode="curp"), say=lambda _line: None) as cluster:
        cluster.kill(2, restart=False)
        finished = await run([sys.executable, str(WEBSOCKET_CLIENT), *cluster.file.addresses("websocket")])
    assert finished.returncode == 0, finished.stdout.decode()
