from __future__ import annotations

from pathlib import Path

import pytest

from replica.cluster_file import read_cluster_file
from replica.config import SettingError, Settings, resolve
from replica.storage.disk import OsDisk
from triskele.cluster_folder import open_folder
from triskele.cluster_ports import reserve_ports

DISK = Settings().changed("--durability", durability="disk")


def live(folder: Path, replicas: int | None = None, settings: Settings = DISK) -> tuple[Settings, list[str]]:
    """Do what a cluster does with its folder; return its settings and addresses."""
    with open_folder(folder) as opened:
        count, settings = opened.agree(replicas, settings)
        with reserve_ports(count, settings, 0) as ports:
            return settings, opened.write(count, settings, ports).addresses()


def refused(folder: Path, replicas: int | None = None, settings: Settings = DISK) -> str:
    with pytest.raises(SettingError) as caught:
        live(folder, replicas, settings)
    assert caught.value.exit_status == 2
    return str(caught.value)


def test_a_new_cluster_has_a_file_and_a_folder_for_each_replica(tmp_path: Path) -> None:
    settings, addresses = live(tmp_path / "a" / "b", 3)
    file = read_cluster_file(tmp_path / "a" / "b" / "cluster.toml")
    assert (file.addresses(), file.mode, file.durability) == (addresses, settings.mode, "disk")
    assert [place.data_dir for place in file.replicas] == [str(tmp_path / "a" / "b" / f"replica-{number}") for number in range(3)]
    assert all(Path(place.data_dir).is_dir() for place in file.replicas)


def test_every_folder_that_is_made_on_the_way_is_durable_and_those_that_were_there_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is durable in it would be lost with the name of any folder above it."""
    synced: list[str] = []
    sync_folder = OsDisk.sync_folder

    def watched(disk: OsDisk) -> None:
        synced.append(disk.path)
        sync_folder(disk)

    monkeypatch.setattr(OsDisk, "sync_folder", watched)
    for _ in range(2):
        with open_folder(tmp_path / "a" / "b" / "c"):
            pass
    assert synced == [str(tmp_path), str(tmp_path / "a"), str(tmp_path / "a" / "b")]


def test_three_replicas_unless_somebody_says_otherwise(tmp_path: Path) -> None:
    assert len(live(tmp_path)[1]) == 3


def test_a_resumed_cluster_is_who_it_was_wherever_it_listens(tmp_path: Path) -> None:
    told = resolve({"durability": "disk", "mode": "curp"}, {})
    _, addresses = live(tmp_path, 5, told)
    before = read_cluster_file(tmp_path / "cluster.toml")
    settings, later = live(tmp_path, None, Settings())
    after = read_cluster_file(tmp_path / "cluster.toml")
    assert (settings.mode, settings.durability, after.cluster_id, after.mode) == ("curp", "disk", before.cluster_id, "curp")
    assert (len(later), after.addresses()) == (5, later)
    assert set(later).isdisjoint(addresses)
    assert live(tmp_path, 5, told)[0].mode == "curp"


@pytest.mark.parametrize(
    ("replicas", "settings", "message"),
    [
        (5, DISK, "--replicas 5: the cluster in {}/cluster.toml has 3"),
        (None, resolve({"mode": "paxos"}, {}), "--mode paxos: {}/cluster.toml says ho"),
        (None, resolve({}, {"TRISKELE_MODE": "ht"}), "TRISKELE_MODE ht: {}/cluster.toml says ho"),
        (3, resolve({"durability": "memory"}, {}), "--durability memory: {}/cluster.toml says disk"),
    ],
)
def test_what_contradicts_the_folder_is_named_with_both_values(replicas: int | None, settings: Settings, message: str, tmp_path: Path) -> None:
    live(tmp_path, 3)
    before = (tmp_path / "cluster.toml").read_text()
    assert refused(tmp_path, replicas, settings) == message.format(tmp_path)
    assert (tmp_path / "cluster.toml").read_text() == before


def test_a_cluster_that_kept_its_data_in_memory_is_not_resumed(tmp_path: Path) -> None:
    memory = resolve({"durability": "memory"}, {})
    live(tmp_path, 1, memory)
    message = f"--data-dir {tmp_path}: holds an earlier cluster, which kept its data in memory; give an empty folder"
    assert refused(tmp_path, 1, memory) == refused(tmp_path) == message


@pytest.mark.parametrize(
    "text",
    [
        'cluster_id = "c"\n[[replica]]\nid = 0\naddress = "127.0.0.1:1"\n',
        'cluster_id = "c"\nmode = "ho"\ndurability = "disk"\n[[replica]]\nid = 4\naddress = "127.0.0.1:1"\n',
        'mode = "ho"\ndurability = "disk"\n[[replica]]\nid = 0\naddress = "127.0.0.1:1"\n',
    ],
)
def test_a_file_that_somebody_else_wrote_is_not_written_over(text: str, tmp_path: Path) -> None:
    (tmp_path / "cluster.toml").write_text(text)
    assert refused(tmp_path).startswith(f"--data-dir {tmp_path}: its cluster.toml was not written by `triskele up`; ")
    assert (tmp_path / "cluster.toml").read_text() == text


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "cluster.toml").write_text("cluster_id = \n")
    assert refused(tmp_path).startswith(f"--data-dir {tmp_path}/cluster.toml: neither JSON nor TOML: ")


@pytest.mark.parametrize("name", ["\U0001f600", "\u00e9", 'a"b\\c', "\x7f", "\x1b\n\t", "'"])
def test_a_folder_of_any_name_is_resumed(name: str, tmp_path: Path) -> None:
    live(tmp_path / name, 3)
    live(tmp_path / name)
    file = read_cluster_file(tmp_path / name / "cluster.toml")
    assert file.replica(0).data_dir == str(tmp_path / name / "replica-0")


def test_a_folder_whose_name_cannot_be_written_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    folder = tmp_path / "\udcff"
    assert refused(folder) == f"--data-dir {folder}: its name is no UTF-8, and cluster.toml has to name it"
    assert not folder.exists()


def test_two_cannot_have_a_folder_at_once(tmp_path: Path) -> None:
    with open_folder(tmp_path):
        assert refused(tmp_path) == f"--data-dir {tmp_path}: another `triskele up` runs here; stop it, or give another folder"
    live(tmp_path)


def test_a_moved_folder_is_resumed_where_it_is(tmp_path: Path) -> None:
    live(tmp_path / "old", 1)
    (tmp_path / "old").rename(tmp_path / "new")
    live(tmp_path / "new")
    assert read_cluster_file(tmp_path / "new" / "cluster.toml").replica(0).data_dir == str(tmp_path / "new" / "replica-0")
    assert not (tmp_path / "old").exists()


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert refused(tmp_path / "file") == f"--data-dir {tmp_path}/file: File exists"
    (tmp_path / "replica-0").write_text("")
    assert refused(tmp_path, 1) == f"--data-dir {tmp_path}: File exists"


def test_a_temporary_folder_is_removed_at_the_end() -> None:
    with open_folder(None) as opened:
        assert opened.path.is_dir()
        assert opened.agree(None, DISK) == (3, DISK)
    assert not opened.path.exists()
