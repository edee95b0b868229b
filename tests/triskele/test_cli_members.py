"""Members come and go while a client goes on: real processes, real disks, the commands an operator types."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio

from replica.cluster_file import read_cluster_file
from tests.triskele.conftest import free_port, start_up
from triskele.admin_client import AdminUnreachable, get
from triskele.child import child_environment
from triskele.cli import main
from triskele.client import connect
from triskele.cluster_ports import ADMIN_OFFSET, WEBSOCKET_OFFSET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def told(capsys: pytest.CaptureFixture[str], line: str) -> dict[str, Any]:
    assert main(shlex.split(f"{line} -o json")) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def complaint(capsys: pytest.CaptureFixture[str], line: str, status: int = 1) -> str:
    assert main(shlex.split(line)) == status
    return capsys.readouterr().err.strip()


@contextmanager
def running(folder: Path, name: str, line: str) -> Iterator[None]:
    """Run a command as an operator pastes it, in a folder, for the length of the block."""
    environment = {name: value for name, value in child_environment().items() if not name.startswith("TRISKELE_")}
    with (folder / f"{name}.log").open("w") as log:
        command = [sys.executable, "-m", *shlex.split(line)]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, cwd=folder)
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


@contextmanager
def joining(replica_id: int, ready: Path, port: int) -> Iterator[None]:
    """Run a new replica for the length of the block."""
    flags = f"--id {replica_id} --cluster {ready} --join --data-dir {ready.parent / f'replica-{replica_id}'} --listen 127.0.0.1:{port}"
    more = f"--websocket 127.0.0.1:{port + WEBSOCKET_OFFSET} --admin 127.0.0.1:{port + ADMIN_OFFSET}"
    with running(ready.parent, str(replica_id), f"triskele replica {flags} {more}"):
        yield


def until(happened: Callable[[], bool], what: str) -> None:
    """Wait for what only other processes know."""
    deadline = time.monotonic() + 30
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


@contextmanager
def three(folder: Path) -> Iterator[Path]:
    process, ready = start_up(folder, "--data-dir", str(folder / "data"), "--no-restart")
    try:
        yield ready
    finally:
        process.terminate()
        process.wait(10)


def test_members_come_and_go_while_a_client_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with three(tmp_path) as ready:
        place = f"--cluster {ready}"
        assert [row["id"] for row in told(capsys, f"members list {place}")["members"]] == [0, 1, 2]
        ports = {number: free_port() for number in (3, 4)}
        with joining(3, ready, ports[3]), joining(4, ready, ports[4]):
            trio.run(_write_meanwhile, str(ready), lambda: _change(capsys, ready, ports))
        removed = told(capsys, f"members list {place}")["removed"]
        assert removed == [2, 0]
        assert "was removed" in complaint(capsys, f"members add 0 127.0.0.1:1 {place}")
        log = (tmp_path / "3.log").read_text()
        assert "configuration 3: voters (0, 1, 2, 3)" in log


def test_commands_follow_the_members_whatever_file_they_are_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with three(tmp_path) as ready:
        founders = tmp_path / "founders.json"
        founders.write_text(ready.read_text())
        place = f"--cluster {founders}"
        assert main(shlex.split(f"members add 3 127.0.0.1:{free_port()} --cluster ready.json".replace("ready.json", str(ready)))) == 0
        start = capsys.readouterr().out.splitlines()[-1].removeprefix("start it: ")
        with running(tmp_path, "3", start):
            until(lambda: [row["role"] for row in told(capsys, f"members list {place}")["members"]] == ["voter"] * 4, "replica 3 votes")
            _lose_the_first(ready)
            found = told(capsys, f"members remove 0 {place}")
            assert [row["address"] for row in found["members"][:2]] == [read_cluster_file(founders).replica(number).address for number in (1, 2)]
            _agree_on_who_is_left(ready, founders, capsys)
            if read_cluster_file(ready).leader != 3:  # it may have won when the first was lost
                told(capsys, f"transfer-leader --to 3 {place}")
            until(lambda: read_cluster_file(ready).leader == 3, "the ready file names a leader that is none of triskele up's")
            again = f"triskele replica --id 0 --cluster {tmp_path / 'data' / 'cluster.toml'}"
            with running(tmp_path, "0", again):
                until(lambda: _ready(founders, 0) == "replica 0 was removed from the cluster (configuration 4); stop it\n", "replica 0 knows it")
                rows = json.loads(_printed(capsys, f"status {place} -o json"))
                assert {row["id"]: row["role"] == "removed" for row in rows} == {0: True, 1: False, 2: False, 3: False}
                _agree_on_who_is_left(ready, founders, capsys)


def _lose_the_first(ready: Path) -> None:
    """Kill replica 0, which the others dial and which dials nobody, and wait until another leads."""
    os.kill(read_cluster_file(ready).replica(0).pid or 0, signal.SIGKILL)
    until(lambda: read_cluster_file(ready).leader not in (None, 0), "another leads")


def _agree_on_who_is_left(ready: Path, founders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    until(lambda: [place.id for place in read_cluster_file(ready).replicas] == [1, 2, 3], "the ready file is in step")
    newcomer = read_cluster_file(ready).replica(3)
    assert (newcomer.pid, bool(newcomer.address and newcomer.websocket and newcomer.admin)) == (None, True)
    for file in (ready, founders):
        assert told(capsys, f"verify --cluster {file}")["hashes"].keys() == {"1", "2", "3"}
        assert _printed(capsys, f"put key value --cluster {file}") == ""


def _printed(capsys: pytest.CaptureFixture[str], line: str) -> str:
    """Return what a command prints, of which nothing may be a complaint."""
    assert main(shlex.split(line)) == 0
    out, err = capsys.readouterr()
    assert err == ""
    return out


def _ready(file: Path, replica_id: int) -> str:
    """Return what a replica's readiness says; nothing if it cannot be asked."""
    try:
        return trio.run(get, read_cluster_file(file).replica(replica_id).admin, "/readyz").body.decode()
    except AdminUnreachable:
        return ""


def _change(capsys: pytest.CaptureFixture[str], ready: Path, ports: dict[int, int]) -> None:
    """Add replica 3; kill replica 2 and let replica 4 take its place; remove the leader."""
    place = f"--cluster {ready}"
    found = told(capsys, f"members add 3 127.0.0.1:{ports[3]} --wait 20 {place}")
    assert [(row["id"], row["role"]) for row in found["members"]][-1] == (3, "voter")
    assert complaint(capsys, f"members add 3 127.0.0.1:9 {place}") == "triskele: replica 3 is a member already"
    os.kill(read_cluster_file(ready).replica(2).pid or 0, signal.SIGKILL)
    found = told(capsys, f"members replace 2 4 127.0.0.1:{ports[4]} --wait 20 {place}")
    assert sorted(row["id"] for row in found["members"]) == [0, 1, 3, 4]
    if found["leader"] != 0:
        told(capsys, f"transfer-leader --to 0 {place}")
    found = told(capsys, f"members remove 0 {place}")
    assert found["leader"] != 0
    assert sorted(row["id"] for row in found["members"]) == [1, 3, 4]


async def _write_meanwhile(ready: str, change: Any) -> None:
    """Write until the changes are made, and a little longer; everything acknowledged is there in the end."""
    written = 0
    async with connect(ready, timeout=20.0) as store:
        done = trio.Event()

        async def changing() -> None:
            await trio.to_thread.run_sync(change)
            done.set()

        with trio.fail_after(90):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(changing)
                while not done.is_set():
                    await store.put(b"key %d" % written, b"%d" % written)
                    written += 1
            for number in range(written):
                assert await store.get(b"key %d" % number) == b"%d" % number


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("members add", "ID, ADDRESS: missing; see triskele members add --help"),
        ("members add x 127.0.0.1:1", "ID x: must be a whole number from 0 to 65535"),
        ("members remove", "ID: missing; see triskele members remove --help"),
        ("members replace 1 2", "ADDRESS: missing; see triskele members replace --help"),
        ("members add 3 nonsense", "ADDRESS nonsense: must be HOST:PORT with a port from 1 to 65535"),
        (
            "members add 3 replica3..example.com:7403",
            "ADDRESS replica3..example.com:7403: the host must be an IP address or a name with 1 to 63 letters between dots",
        ),
        ("members replace 2 3 memory:7403", "ADDRESS memory:7403: a host cannot be called memory here: memory: in front means no HOST:PORT"),
        ("members add 3 127.0.0.1:99999", "ADDRESS 127.0.0.1:99999: must be HOST:PORT with a port from 1 to 65535"),
        ("members replace 2 3 http://127.0.0.1:80", "ADDRESS http://127.0.0.1:80: must be HOST:PORT with a port from 1 to 65535"),
        ("members add 3 127.0.0.1:1 --wait 0", "--wait 0: must be a number of seconds above 0"),
    ],
)
def test_wrong_usage_is_told_in_one_line(line: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert complaint(capsys, line, 2) == f"triskele: {message}"


def test_what_no_leader_would_do_is_refused_in_its_words(real_cluster: str, capsys: pytest.CaptureFixture[str]) -> None:
    place = f"--cluster {real_cluster}"
    assert complaint(capsys, f"members remove 7 {place}") == "triskele: replica 7 is no member"
    assert complaint(capsys, f"members add 1 127.0.0.1:1 {place}") == "triskele: replica 1 is a member already"
    assert complaint(capsys, f"members replace 7 8 127.0.0.1:1 {place}") == "triskele: replica 7 is no voter: there is nobody to replace"
    taken = read_cluster_file(Path(real_cluster)).replica(1).address
    assert complaint(capsys, f"members add 8 {taken} {place}") == f"triskele: replica 1 listens at {taken} already"
    assert main(shlex.split(f"members list {place}")) == 0
    assert capsys.readouterr().out.startswith("configuration 1; replica ")
