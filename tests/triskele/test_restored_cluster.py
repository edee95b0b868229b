from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from replica.cluster_file import read_cluster_file
from replica.config import SettingError, Settings
from replica.folder_check import check_folder
from replica.journal_codec import encode_metadata, snapshot_chunks
from replica.restored_folder import make_restored_folder
from replica.snapshot_file import SnapshotDamaged, SnapshotUnreadable, encode_snapshot
from replica.storage.errors import DiskFailed
from statemachine.sessions import Sessions
from statemachine.store import Store
from triskele.cluster_folder import open_folder
from triskele.restored_cluster import RestoreFailed, restore_cluster

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A snapshot of one key."""
    store = Store()
    store.apply(b"\0", [b"k"], [b"v"], 9)
    chunks = snapshot_chunks(store.snapshot(), Sessions().snapshot())
    (tmp_path / "s").write_bytes(b"".join(encode_snapshot(4, encode_metadata(4, 3, 9, 1), chunks)))
    return tmp_path / "s"


def test_the_folder_is_a_cluster_s_that_can_be_resumed(file: Path, tmp_path: Path) -> None:
    data = tmp_path / "a" / "b"
    content = restore_cluster(file, data, 3, "curp")
    assert content.applied.position == 9
    cluster = read_cluster_file(data / "cluster.toml")
    with open_folder(data) as folder:
        assert folder.held == cluster
        count, settings = folder.agree(None, Settings())
    assert (count, settings.mode, settings.durability) == (3, "curp", "disk")
    for place in cluster.replicas:
        assert place.data_dir == str(data / f"replica-{place.id}")
        report = check_folder(data / f"replica-{place.id}")
        assert report.problems == []
        assert report.identity is not None
        assert (report.identity.cluster_id, report.identity.replica_id) == (cluster.cluster_id, place.id)


def test_every_restored_cluster_is_another_one(file: Path, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in "ab":
        restore_cluster(file, tmp_path / name, 1, "ho")
    one, other = (read_cluster_file(tmp_path / name / "cluster.toml").cluster_id for name in "ab")
    assert one != other


def test_a_folder_that_is_not_empty_is_left_as_it_is(file: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "mine").write_text("x")
    with pytest.raises(SettingError, match=f"^--data-dir {data}: holds mine: give an empty folder"):
        restore_cluster(file, data, 3, "ho")
    assert [entry.name for entry in data.iterdir()] == ["mine"]


def test_a_file_that_is_no_snapshot_makes_nothing(file: Path, tmp_path: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-30] ^= 1
    file.write_bytes(content)
    with pytest.raises(SnapshotDamaged):
        restore_cluster(file, tmp_path / "data", 3, "ho")
    with pytest.raises(SnapshotUnreadable):
        restore_cluster(tmp_path / "none", tmp_path / "data", 3, "ho")
    assert not (tmp_path / "data").exists()


def test_a_disk_that_refuses_leaves_nothing_that_looks_like_a_cluster(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path, **more: Any) -> None:
        make_restored_folder(path, **more)
        if path.name == "replica-1":
            raise DiskFailed(str(path), "No space left on device")

    monkeypatch.setattr("triskele.restored_cluster.make_restored_folder", refuse)
    with pytest.raises(RestoreFailed, match="replica-1: No space left on device"):
        restore_cluster(file, tmp_path / "data", 3, "ho")
    assert list((tmp_path / "data").iterdir()) == []
    monkeypatch.undo()
    restore_cluster(file, tmp_path / "data", 3, "ho")
