from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from replica.listening import bound_address, open_socket
from tests.triskele.conftest import is_gone, start_up
from triskele.child import child_environment
from triskele.cli import main

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_within_5_seconds(tmp_path: Path, number: signal.Signals) -> None:
    process, ready = start_up(tmp_path)
    told = json.loads(ready.read_text())
    assert told["leader"] == 0
    begin = time.monotonic()
    process.send_signal(number)
    assert process.wait(5) == 0
    assert time.monotonic() - begin < 5
    assert all(is_gone(replica["pid"]) for replica in told["replicas"])
    log = (tmp_path / "up.log").read_text()
    assert "ready: 127.0.0.1:" in log
    assert "Traceback" not in log
    assert "stays dead" not in log


def test_it_stops_by_itself_after_the_time_and_keeps_its_mode(tmp_path: Path) -> None:
    process, ready = start_up(tmp_path, "--for", "0.5", "--replicas", "1", "--mode", "paxos")
    assert json.loads(ready.read_text())["mode"] == "paxos"
    assert process.wait(10) == 0
    assert "replica 0 leads; mode paxos, memory" in (tmp_path / "up.log").read_text()


def test_a_dead_replica_is_told_and_the_rest_go_on(tmp_path: Path) -> None:
    process, ready = start_up(tmp_path)
    os.kill(json.loads(ready.read_text())["replicas"][2]["pid"], signal.SIGKILL)
    deadline = time.monotonic() + 10
    while json.loads(ready.read_text())["replicas"][2]["pid"] is not None:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert main(["put", "k", "v", "--cluster", str(ready)]) == 0
    process.terminate()
    assert process.wait(10) == 0
    assert "replica 2 was killed by SIGKILL; it stays dead" in (tmp_path / "up.log").read_text()


def test_the_end_of_the_last_replica_ends_it_with_status_1(tmp_path: Path) -> None:
    process, ready = start_up(tmp_path, "--replicas", "1")
    os.kill(json.loads(ready.read_text())["replicas"][0]["pid"], signal.SIGKILL)
    assert process.wait(10) == 1
    assert (tmp_path / "up.log").read_text().endswith("triskele: no replica is left\n")


def test_replicas_do_not_outlive_a_killed_supervisor(tmp_path: Path) -> None:
    process, ready = start_up(tmp_path)
    pids = [replica["pid"] for replica in json.loads(ready.read_text())["replicas"]]
    process.kill()
    process.wait()
    deadline = time.monotonic() + 10
    while not all(is_gone(pid) for pid in pids):
        assert time.monotonic() < deadline, "a replica outlived the supervisor"
        time.sleep(0.02)


def test_a_port_in_use_is_one_line_and_status_1(capfd: pytest.CaptureFixture[str]) -> None:
    with open_socket("127.0.0.1:0") as taken:
        address = bound_address(taken)
        assert main(["up", "--port", address.rpartition(":")[2]]) == 1
    assert capfd.readouterr().err == f"triskele: cannot listen at {address}: the port is in use by another program; --port 0 picks free ones\n"


def test_it_runs_where_a_folder_is_named_like_a_package(tmp_path: Path) -> None:
    (tmp_path / "replica").mkdir()
    (tmp_path / "replica" / "__init__.py").write_text("raise SystemExit('not ours')\n")
    command = [sys.executable, "-P", "-m", "triskele", "up", "--port", "0", "--replicas", "1", "--for", "0.1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=child_environment(), timeout=30, check=False)
    assert (done.returncode, "not ours" in done.stderr) == (0, False)
