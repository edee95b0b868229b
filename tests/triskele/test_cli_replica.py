from __future__ import annotations

import json
import shlex
import subprocess
import sys
from typing import TYPE_CHECKING

from replica.cluster_file import ClusterFile, ReplicaPlace, read_cluster_file, settings_for, write_cluster_file
from replica.config import settings_from
from replica.listening import bound_address, open_socket
from triskele.child import child_environment

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

from triskele.cli import main
from triskele.cli.framework import COMMANDS, make_parser
from triskele.cli.replica import EXAMPLES, add_arguments


def cluster_toml(folder: Path) -> Path:
    """A cluster of one at ports that were free a moment ago."""
    opened = [open_socket("127.0.0.1:0") for _ in range(3)]
    address, websocket, admin = (bound_address(one) for one in opened)
    for one in opened:
        one.close()
    place = ReplicaPlace(id=0, address=address, websocket=f"ws://{websocket}", admin=f"http://{admin}", data_dir=str(folder / "data"))
    write_cluster_file(ClusterFile(cluster_id="c", mode="curp", durability="memory", replicas=(place,)), folder / "cluster.toml")
    return folder / "cluster.toml"


def start(folder: Path, *flags: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "replica", "--id", "0", "--cluster", str(cluster_toml(folder)), "--announce", *flags]
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=child_environment(), cwd=folder
    )


def test_it_announces_itself_in_one_line_and_ends_in_order_on_sigterm(tmp_path: Path) -> None:
    with start(tmp_path) as process:
        assert process.stdout is not None
        told = json.loads(process.stdout.readline())
        assert told.keys() == {"id", "address", "websocket", "admin", "pid"}
        assert (told["id"], told["pid"]) == (0, process.pid)
        assert told["websocket"].startswith("ws://127.0.0.1:")
        assert told["admin"].startswith("http://127.0.0.1:")
        process.terminate()
        out, err = process.communicate(timeout=10)
    assert (process.returncode, out) == (0, "")
    assert "Z INFO replica 0: " in err


def test_an_attached_replica_ends_when_its_input_does(tmp_path: Path) -> None:
    with start(tmp_path, "--attached", "--log-level", "error") as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline()
        process.stdin.close()
        assert process.wait(10) == 0


def test_a_setting_that_contradicts_the_cluster_is_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replica", "--id", "0", "--cluster", str(cluster_toml(tmp_path)), "--mode", "ho"]) == 2
    assert capsys.readouterr().err == "triskele: --mode ho: the cluster file says curp\n"


def test_an_id_the_cluster_does_not_have_is_status_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replica", "--id", "3", "--cluster", str(cluster_toml(tmp_path))]) == 2
    assert capsys.readouterr().err == "triskele: --id 3: the cluster has replicas 0\n"


def test_a_port_in_use_is_status_1(tmp_path: Path) -> None:
    with open_socket("127.0.0.1:0") as taken, start(tmp_path, "--listen", bound_address(taken)) as process:
        out, err = process.communicate(timeout=20)
        assert (process.returncode, out) == (1, "")
        assert err == f"triskele: cannot listen at {bound_address(taken)}: the port is in use by another program\n"


def test_the_examples_of_its_help_have_flags_that_a_replica_takes(tmp_path: Path) -> None:
    """As pasted, up to where it would listen."""
    file = tmp_path / "cluster.toml"
    places = tuple(
        ReplicaPlace(id=number, address=f"127.0.0.1:740{number}", websocket=f"ws://127.0.0.1:750{number}", admin=f"http://127.0.0.1:760{number}")
        for number in range(3)
    )
    write_cluster_file(ClusterFile(cluster_id="c", mode="ho", durability="disk", replicas=places), file)
    found = {}
    for example in EXAMPLES:
        command = next(command for command in COMMANDS if command.words == "replica")
        parser = make_parser(command, EXAMPLES)
        add_arguments(parser)
        arguments = parser.parse_args(shlex.split(example, comments=True)[2:])
        assert arguments.cluster in {"cluster.toml", "ready.json"}
        cluster = read_cluster_file(file).with_replica(arguments.id, joins=arguments.join, data_dir=arguments.data_dir)
        settings = settings_for(settings_from(arguments, {}), cluster, arguments.id)
        found[arguments.id] = (settings.listen, settings.websocket, settings.admin)
    assert found == {number: (f"127.0.0.1:740{number}", f"127.0.0.1:750{number}", f"127.0.0.1:760{number}") for number in (0, 3)}
