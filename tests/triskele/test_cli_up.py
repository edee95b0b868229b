from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from typing import TYPE_CHECKING

import pytest

from replica.cluster_file import read_cluster_file
from replica.listening import bound_address, open_socket
from tests.triskele.conftest import is_gone, start_up
from triskele.child import child_environment
from triskele.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def kill(ready: Path, replica_id: int) -> None:
    pid = pid_of(ready, replica_id)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)


def pid_of(ready: Path, replica_id: int) -> int | None:
    return read_cluster_file(ready).replica(replica_id).pid


def is_ready(admin: str) -> bool:
    """Whether a replica serves, and counts: one that forgot what it had acknowledged says so until that does not matter any more."""
    try:
        with urllib.request.urlopen(f"{admin}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def a_follower(ready: Path) -> int:
    return 1 if read_cluster_file(ready).leader == 2 else 2


def until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything_within_5_seconds(tmp_path: Path, number: signal.Signals) -> None:
    process, ready = start_up(tmp_path)
    told = json.loads(ready.read_text())
    assert told["leader"] in {0, 1, 2}
    begin = time.monotonic()
    process.send_signal(number)
    assert process.wait(5) == 0
    assert time.monotonic() - begin < 5
    assert all(is_gone(replica["pid"]) for replica in told["replicas"])
    log = (tmp_path / "up.log").read_text()
    assert "ready: 127.0.0.1:" in log
    assert "Traceback" not in log
    assert "killed" not in log
    assert "started again" not in log


def test_it_stops_by_itself_after_the_time_and_keeps_its_mode(tmp_path: Path) -> None:
    begin = time.monotonic()
    process, ready = start_up(tmp_path, "--for", "4", "--replicas", "1", "--mode", "paxos", "--durability", "memory")
    assert json.loads(ready.read_text())["mode"] == "paxos"
    assert process.wait(10) == 0
    assert time.monotonic() - begin >= 4
    assert "replica 0 leads; mode paxos, memory" in (tmp_path / "up.log").read_text()


def test_with_memory_durability_a_dead_replica_comes_back_and_counts_again(tmp_path: Path) -> None:
    """It forgot what it acknowledged; the others bring it up to date in a view of its own, and then one of them may fail."""
    process, ready = start_up(tmp_path, "--durability", "memory")
    dead = a_follower(ready)
    pid = pid_of(ready, dead)
    assert main(["put", "k", "v", "--cluster", str(ready)]) == 0
    kill(ready, dead)
    until(lambda: pid_of(ready, dead) not in (None, pid))
    until(lambda: all(is_ready(place.admin) for place in read_cluster_file(ready).replicas))  # who has only the log does not count yet
    kill(ready, next(place.id for place in read_cluster_file(ready).replicas if place.id != dead))
    assert main(["put", "k", "w", "--timeout", "20", "--cluster", str(ready)]) == 0
    process.terminate()
    assert process.wait(10) == 0


def test_with_disk_durability_a_dead_replica_comes_back_under_its_id_and_address(tmp_path: Path) -> None:
    process, ready = start_up(tmp_path, "--durability", "disk")
    before, dead = read_cluster_file(ready), a_follower(ready)
    kill(ready, dead)
    until(lambda: pid_of(ready, dead) not in (None, before.replica(dead).pid))
    after = read_cluster_file(ready)
    assert (after.addresses(), after.cluster_id) == (before.addresses(), before.cluster_id)
    assert main(["put", "k", "v", "--cluster", str(ready)]) == 0
    process.terminate()
    assert process.wait(10) == 0
    log = (tmp_path / "up.log").read_text()
    assert f"replica {dead} was killed by SIGKILL; it is started again in 1 s, 2 of 3 go on" in log
    assert "the data is in a temporary folder, removed at the end; --data-dir keeps it" in log


@pytest.mark.parametrize("flag", ["--data-dir", "--ready-file"])
def test_an_empty_path_is_refused_and_nothing_is_scattered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], flag: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["up", "--port", "0", flag, ""]) == 2
    assert capfd.readouterr().err.startswith(f"triskele: {flag} : must be a path")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_resumed_with_its_data_and_flags_that_contradict_it_are_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = str(tmp_path / "data")
    process, ready = start_up(tmp_path, "--data-dir", data, "--durability", "disk", "--mode", "curp")
    before = read_cluster_file(ready)
    assert main(["put", "k", "kept", "--cluster", str(ready)]) == 0
    process.terminate()
    assert process.wait(10) == 0
    assert main(["up", "--port", "0", "--data-dir", data, "--replicas", "5"]) == 2
    assert main(["up", "--port", "0", "--data-dir", data, "--mode", "ht"]) == 2
    file = tmp_path / "data" / "cluster.toml"
    assert capfd.readouterr().err == f"triskele: --replicas 5: the cluster in {file} has 3\ntriskele: --mode ht: {file} says curp\n"
    process, ready = start_up(tmp_path, "--data-dir", data)
    after = read_cluster_file(ready)
    assert (after.cluster_id, after.mode, after.durability) == (before.cluster_id, "curp", "disk")
    assert main(["get", "k", "--cluster", str(ready)]) == 0
    assert capfd.readouterr().out == "kept\n"
    process.terminate()
    assert process.wait(10) == 0
    assert "mode curp, disk" in (tmp_path / "up.log").read_text()


@pytest.mark.parametrize("flags", [("--durability", "memory"), ("--durability", "disk", "--no-restart")])
def test_the_end_of_the_last_replica_ends_it_with_status_1(tmp_path: Path, flags: tuple[str, ...]) -> None:
    process, ready = start_up(tmp_path, "--replicas", "1", *flags)
    kill(ready, 0)
    assert process.wait(10) == 1
    assert (tmp_path / "up.log").read_text().endswith("triskele: no replica is left\n")


def test_replicas_do_not_outlive_a_killed_supervisor(tmp_path: Path) -> None:
    process, ready = start_up(tmp_path, "--data-dir", str(tmp_path / "data"))  # a temporary one would stay behind
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
    command = [sys.executable, "-P", "-m", "triskele", "up", "--port", "0", "--replicas", "1"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=child_environment()) as process:
        assert process.stderr is not None
        said = []
        for line in process.stderr:
            said.append(line)
            if "ready: " in line:
                process.terminate()
    assert (process.returncode, "not ours" in "".join(said)) == (0, False)


def test_the_time_counts_from_the_start_also_where_no_leader_serves(capfd: pytest.CaptureFixture[str]) -> None:
    begin = time.monotonic()
    assert main(["up", "--port", "0", "--for", "0.05"]) == 1
    assert time.monotonic() - begin < 10
    assert capfd.readouterr().err.endswith("triskele: --for 0.05: over before a leader served\n")
