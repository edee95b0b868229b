from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

import attrs
import pytest

from replica.cluster_file import ClusterFile, ReplicaPlace, parse_cluster, read_cluster_file, settings_for, write_cluster_file, write_ready_file
from replica.config import SettingError, Settings, resolve

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def three(leader: int | None = None) -> ClusterFile:
    places = tuple(
        ReplicaPlace(
            id=n, address=f"127.0.0.1:{7400 + n}", websocket=f"ws://127.0.0.1:{7500 + n}", admin=f"http://127.0.0.1:{7600 + n}", data_dir=f"/d/{n}"
        )
        for n in range(3)
    )
    return ClusterFile(cluster_id="c1", mode="curp", durability="memory", replicas=places, leader=leader)


def test_a_cluster_file_reads_back_what_was_written(tmp_path: Path) -> None:
    write_cluster_file(three(), tmp_path / "cluster.toml")
    assert three() == read_cluster_file(tmp_path / "cluster.toml")


def test_a_ready_file_reads_back_what_was_written_pids_and_leader_too(tmp_path: Path) -> None:
    cluster = three(leader=0)
    cluster = attrs.evolve(cluster, replicas=tuple(attrs.evolve(place, pid=100 + place.id) for place in cluster.replicas))
    write_ready_file(cluster, tmp_path / "ready.json")
    assert cluster == read_cluster_file(tmp_path / "ready.json")


def test_a_ready_file_has_the_published_form(tmp_path: Path) -> None:
    write_ready_file(three(), tmp_path / "ready.json")
    table = json.loads((tmp_path / "ready.json").read_text())
    assert table["replicas"][1] == {
        "id": 1,
        "address": "127.0.0.1:7401",
        "websocket": "ws://127.0.0.1:7501",
        "admin": "http://127.0.0.1:7601",
        "data_dir": "/d/1",
        "pid": None,
    }
    assert table["leader"] is None


def test_writing_replaces_in_one_step_and_leaves_nothing_behind(tmp_path: Path) -> None:
    file = tmp_path / "ready.json"
    write_ready_file(three(), file)
    before = file.stat().st_ino
    write_ready_file(three(leader=1), file)
    assert before != file.stat().st_ino
    assert [file] == list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        write_ready_file(three(), tmp_path / "gone" / "ready.json")


def test_replicas_are_sorted_by_id(tmp_path: Path) -> None:
    file = tmp_path / "cluster.toml"
    file.write_text('[[replica]]\nid = 2\naddress = "127.0.0.1:2"\n[[replica]]\nid = 1\naddress = "127.0.0.1:1"\n')
    assert [place.id for place in read_cluster_file(file).replicas] == [1, 2]


def test_an_address_list_is_a_cluster() -> None:
    cluster = parse_cluster("127.0.0.1:7400, localhost:7401,[::1]:7402")
    assert cluster.addresses() == ["127.0.0.1:7400", "localhost:7401", "[::1]:7402"]
    assert [place.id for place in cluster.replicas] == [0, 1, 2]


def test_addresses_tell_their_kind() -> None:
    assert parse_cluster("ws://127.0.0.1:1/,ws://127.0.0.1:2").addresses("websocket") == ["ws://127.0.0.1:1", "ws://127.0.0.1:2"]
    assert parse_cluster("http://127.0.0.1:3").replicas[0].admin == "http://127.0.0.1:3"


def test_a_path_is_a_cluster(tmp_path: Path) -> None:
    write_ready_file(three(leader=2), tmp_path / "ready.json")
    assert parse_cluster(str(tmp_path / "ready.json")).leader == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "--cluster: no such file (and no address list: ADDRESS,ADDRESS,…)"),
        ("ready.json", "--cluster ready.json: no such file (and no address list: ADDRESS,ADDRESS,…)"),
        ("/no/where:1", "--cluster /no/where:1: no such file (and no address list: ADDRESS,ADDRESS,…)"),
        ("127.0.0.1:7400,", "--cluster 127.0.0.1:7400,: must be HOST:PORT"),
        ("127.0.0.1:7400,127.0.0.1:x", "--cluster 127.0.0.1:x: must be HOST:PORT with a port from 0 to 65535"),
        ("127.0.0.1:1,127.0.0.1:1", "--cluster 127.0.0.1:1,127.0.0.1:1: address 127.0.0.1:1: given twice"),
        (",".join(f"h:{n}" for n in range(1, 18)), f"--cluster {','.join(f'h:{n}' for n in range(1, 18))}: 17 replicas: at most 16"),
    ],
)
def test_what_is_neither_file_nor_addresses_is_named(text: str, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse_cluster(text)
    assert message == str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "needs at least one [[replica]]"),
        ("replica = 3", "needs at least one [[replica]]"),
        ("replica = [1]", "needs at least one [[replica]]"),
        ("colour = 1\n[[replica]]\nid = 0", "colour: unknown; known are cluster_id, durability, leader, mode, replica, replicas"),
        ("[[replica]]\naddress = 'h:1'", "replica number 1 id: missing"),
        ("[[replica]]\nid = '0'", "replica 0 id 0: must be a whole number from 0 to 65535"),
        ("[[replica]]\nid = 70000", "replica 70000 id 70000: must be a whole number from 0 to 65535"),
        ("[[replica]]\nid = 0\naddress = 'h'", "replica 0 address h: must be HOST:PORT"),
        ("[[replica]]\nid = 0\naddress = 1", "replica 0 address 1: must be text"),
        ("[[replica]]\nid = 0\nadress = 'h:1'", "replica 0 adress: unknown; known are address, admin, data_dir, id, pid, websocket"),
        ("[[replica]]\nid = 0\n[[replica]]\nid = 0", "id 0: given twice"),
        (
            "[[replica]]\nid = 0\naddress = 'h:1'\nwebsocket = 'h:1'",
            "replica 0 websocket h:1: address of replica 0 too; each needs a port of its own",
        ),
        (
            "[[replica]]\nid = 0\naddress = 'h:1'\n[[replica]]\nid = 1\nadmin = 'http://h:1'",
            "replica 1 admin h:1: address of replica 0 too; each needs a port of its own",
        ),
        ("leader = true\n[[replica]]\nid = 0", "leader True: must be a whole number from 0 to 65535"),
        ("[[replica]]\nid = 0\ndata_dir = 'q\\u0000'".replace("'", '"'), "replica 0 data_dir: must be text without zero bytes and halves of letters"),
        ('{"cluster_id": "\\ud800", "replicas": [{"id": 0}]}', "cluster_id: must be text without zero bytes and halves of letters"),
        ("{", "neither JSON nor TOML: "),
        ("[[", "neither JSON nor TOML: "),
    ],
)
def test_a_wrong_item_of_a_file_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "cluster"
    file.write_text(text)
    with pytest.raises(SettingError) as caught:
        read_cluster_file(file)
    assert str(caught.value).startswith(f"--cluster {file}: {message}")


def test_a_wrong_mode_in_a_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "cluster.toml"
    file.write_text('mode = "raft"\n[[replica]]\nid = 0\n')
    with pytest.raises(SettingError, match=r"^mode in .*cluster\.toml raft: must be one of paxos, curp, ht, ho$"):
        read_cluster_file(file)


def test_a_replica_takes_mode_and_addresses_from_its_cluster() -> None:
    settings = settings_for(Settings(), three(), 1)
    assert (settings.mode, settings.listen, settings.websocket, settings.admin) == ("curp", "127.0.0.1:7401", "127.0.0.1:7501", "127.0.0.1:7601")
    assert settings.origin("mode") == "cluster file"


def test_an_address_of_its_own_wins_over_the_cluster() -> None:
    assert settings_for(resolve({"listen": "127.0.0.1:9"}, {}), three(), 1).listen == "127.0.0.1:9"


@pytest.mark.parametrize(
    ("flags", "replica_id", "message"),
    [
        ({"mode": "ho"}, 0, "--mode ho: the cluster file says curp"),
        ({}, 7, "--id 7: the cluster has replicas 0, 1, 2"),
        ({"admin": "127.0.0.1:7400"}, 0, "--admin 127.0.0.1:7400: listen in cluster file is the same: give each a port of its own"),
        (
            {"listen": "0.0.0.0:7400"},
            0,
            "--listen 0.0.0.0:7400: other machines can reach it and nothing is encrypted yet; bind a loopback address, or say --insecure",
        ),
    ],
)
def test_what_contradicts_the_cluster_is_refused(flags: dict[str, str], replica_id: int, message: str) -> None:
    with pytest.raises(SettingError) as caught:
        settings_for(resolve(flags, {}), three(), replica_id)
    assert message == str(caught.value)


def test_an_open_address_of_the_cluster_file_is_refused_without_insecure() -> None:
    places = (ReplicaPlace(id=0, address="10.0.0.1:1", websocket="ws://127.0.0.1:2", admin="http://127.0.0.1:3"),)
    with pytest.raises(SettingError, match=r"^listen in cluster file 10\.0\.0\.1:1: other machines"):
        settings_for(Settings(), ClusterFile(replicas=places), 0)
    assert settings_for(Settings(insecure=True), ClusterFile(replicas=places), 0).listen == "10.0.0.1:1"


def test_free_ports_are_no_port_in_common() -> None:
    free = "127.0.0.1:0"
    settings = settings_for(resolve({"listen": free, "websocket": free, "admin": free}, {}), three(), 0)
    assert settings.listen == settings.admin == free
    places = (ReplicaPlace(id=0, address=free, websocket=f"ws://{free}", admin=f"http://{free}"),)
    assert settings_for(Settings(), ClusterFile(replicas=places), 0).websocket == free


def test_a_missing_address_is_asked_for() -> None:
    places = (ReplicaPlace(id=0, address="127.0.0.1:1"),)
    with pytest.raises(SettingError, match=r"^--websocket: the cluster file has no such address for replica 0: give one$"):
        settings_for(Settings(), ClusterFile(replicas=places), 0)


@pytest.mark.parametrize("write", [write_cluster_file, write_ready_file])
def test_a_file_is_on_disk_before_it_has_its_name_and_its_name_is_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[ClusterFile, Path], None]
) -> None:
    file, done = tmp_path / "cluster", []
    sync = os.fsync

    def fsync(descriptor: int) -> None:
        sync(descriptor)
        status = os.fstat(descriptor)
        done.append(("folder" if stat.S_ISDIR(status.st_mode) else status.st_size, file.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    write(three(), file)
    assert done == [(file.stat().st_size, False), ("folder", True)]


def test_a_replica_s_command_line_adds_to_the_file_and_nothing_of_it_is_written(tmp_path: Path) -> None:
    assert three().with_replica(7) == three(), "who does not join must stand in the file"
    joined = three().with_replica(7, joins=True, data_dir=tmp_path)
    assert joined.replica(7) == ReplicaPlace(id=7, data_dir=str(tmp_path), joins=True)
    assert three().with_replica(1, data_dir=tmp_path).replica(1) == attrs.evolve(three().replica(1), data_dir=str(tmp_path))
    write_ready_file(joined, tmp_path / "ready.json")
    assert not read_cluster_file(tmp_path / "ready.json").replica(7).joins
