from __future__ import annotations

from functools import partial
from random import Random
from typing import TYPE_CHECKING

import pytest

from replica.cluster_file import ClusterFile, ReplicaPlace
from replica.config import SettingError, Settings
from replica.core.config import CoreConfig
from replica.core.journal import Voted
from replica.guard import DIVERGED
from replica.home_folder import FOLDER_BITS, OPENINGS_BITS, HomeFolder
from replica.reading import Progress
from replica.storage.disk import OsDisk
from replica.storage.errors import Corrupt, CorruptFacts, FolderLocked, ForeignFolder, StateDiverged, StorageError
from replica.storage.folder import IDENTITY, DataFolder, read_identity
from replica.storage.log import DurableLog
from replica.surroundings import Surroundings
from statemachine.sessions import EXPIRED_MAX
from tests.replica.replica_on_disk import WatchedDisk
from transport.errors import HandshakeRefused

if TYPE_CHECKING:
    from pathlib import Path

    from replica.config import Durability, Mode

CORE = CoreConfig(id=1, voters=(0, 1, 2))
THEIRS, OTHERS = 7 << OPENINGS_BITS, 8 << OPENINGS_BITS


def home(path: Path | str, durability: Durability = "disk", *, cluster_id: str = "c", replica_id: int = 1, mode: Mode = "ho") -> HomeFolder:
    places = tuple(ReplicaPlace(id=number, data_dir=str(path)) for number in range(3))
    return HomeFolder(Settings(durability=durability, mode=mode), ClusterFile(cluster_id=cluster_id, replicas=places), replica_id)


def end(opened: HomeFolder) -> None:
    persistence, _ = opened.load(CORE)
    persistence.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data"


# --------------------------------------------------------------------------------------------------------------------- which folder


def test_a_replica_that_keeps_its_data_needs_a_folder_and_says_so() -> None:
    with pytest.raises(SettingError, match=r"--data-dir.*names no data_dir for replica 1: give one"):
        home("")


def test_a_replica_in_memory_needs_none() -> None:
    opened = home("", "memory")
    assert (opened.folder, opened.load(CORE)[1]) == (None, None)
    assert 0 <= opened.incarnation < 1 << (FOLDER_BITS + OPENINGS_BITS)


def test_the_folder_is_made_for_this_cluster_and_replica(path: Path) -> None:
    opened = home(path)
    assert opened.folder is not None
    assert (opened.folder.identity.cluster_id, opened.folder.identity.replica_id) == ("c", 1)
    end(opened)
    with pytest.raises(ForeignFolder, match="replica 1"):
        home(path, replica_id=2)
    with pytest.raises(ForeignFolder, match="'c'"):
        home(path, cluster_id="d")


def test_a_cluster_without_a_name_has_one_on_disk(path: Path) -> None:
    opened = home(path, cluster_id="")
    assert opened.folder is not None
    assert opened.folder.identity.cluster_id == "unnamed"
    end(opened)


def test_a_folder_is_open_once(path: Path) -> None:
    opened = home(path)
    with pytest.raises(FolderLocked):
        home(path)
    end(opened)
    end(home(path))


def votes(path: Path, durability: Durability) -> None:
    """A replica votes for 2 in view 5, and ends."""
    persistence, _ = home(path, durability).load(CORE)
    assert persistence.write(1, [Voted(5, 2)])
    persistence.close()


def test_who_kept_its_data_in_memory_comes_back_with_its_vote_and_knows_that_it_forgot_the_rest(path: Path) -> None:
    votes(path, "memory")
    persistence, durable = home(path, "memory").load(CORE)
    persistence.close()
    assert durable is not None
    assert (durable.voted, durable.forgotten, durable.entries) == (Voted(5, 2), True, [])


def test_a_new_replica_in_memory_has_forgotten_nothing(path: Path) -> None:
    persistence, durable = home(path, "memory").load(CORE)
    persistence.close()
    assert durable is None


@pytest.mark.parametrize(("before", "after"), [("memory", "disk"), ("disk", "memory")])
def test_who_comes_back_with_another_durability_is_refused(path: Path, before: Durability, after: Durability) -> None:
    """It must not vote again in view 5, nor seem to be in an older one, nor pass for a replica that forgot nothing."""
    votes(path, before)
    with pytest.raises(SettingError, match=r"^--durability .* was made for"):
        home(path, after).load(CORE)


@pytest.mark.parametrize("durability", ["disk", "memory"])
def test_a_folder_belongs_to_the_mode_it_was_made_for(path: Path, durability: Durability) -> None:
    end(home(path, durability, mode="ht"))
    for _ in range(2):  # the lock is given back
        with pytest.raises(SettingError, match=f"^--mode ho: {path} was made for ht; give that$"):
            home(path, durability)
    end(home(path, durability, mode="ht"))


def test_a_folder_that_knows_no_mode_is_taken_as_it_is_and_keeps_the_one_it_is_used_in(path: Path) -> None:
    folder = DataFolder.open(path, cluster_id="c", replica_id=1)
    folder.remember("durability", "disk")
    folder.close()
    home(path, mode="curp").folder.close()  # type: ignore[union-attr]  # never used
    end(home(path, mode="paxos"))
    with pytest.raises(SettingError, match="was made for paxos; give that"):
        home(path, mode="curp")


@pytest.mark.parametrize("flaw", ["mode", "durability", "log", "diverged"])
def test_a_refused_start_counts_for_nothing(path: Path, flaw: str) -> None:
    end(home(path))
    if flaw == "log":
        next(path.glob("log-*")).unlink()
    if flaw == "diverged":
        folder = DataFolder.open(path, cluster_id="c", replica_id=1)
        folder.remember(DIVERGED, "why")
        folder.close()
    with pytest.raises((SettingError, StorageError)):
        home(path, "memory" if flaw == "durability" else "disk", mode="paxos" if flaw == "mode" else "ho").load(CORE)
    identity = read_identity(OsDisk(path))
    assert identity is not None
    assert identity.incarnation == 1


@pytest.mark.parametrize("durability", ["disk", "memory"])
def test_a_first_start_cut_short_at_any_moment_leaves_a_folder_that_the_next_can_use(durability: Durability) -> None:
    disk = WatchedDisk(Random(0))
    left: list[WatchedDisk] = []

    def start(disk: WatchedDisk, *, joins: bool) -> HomeFolder:
        around = Surroundings(
            open_folder=lambda _path, **told: DataFolder.open_disk(disk, entropy=Random(1).randbytes, **told),
            open_log=partial(DurableLog.open, segment_bytes=4096),
        )
        places = (ReplicaPlace(id=1, data_dir="data", joins=joins),)
        return HomeFolder(Settings(durability=durability), ClusterFile(cluster_id="c", replicas=places), 1, around)

    disk.watch = lambda _operation: left.extend(disk.crashed(seed) for seed in range(3))
    end(start(disk, joins=True))
    assert len(left) > 20
    for other in left:
        there = IDENTITY in other.names()
        opened = start(other, joins=False)
        assert opened.joins == there, "it was told once that it joins, and remembers that from the first moment on"
        end(opened)


def test_a_folder_that_does_not_say_what_it_was_made_for_is_refused_as_damaged(path: Path) -> None:
    DataFolder.open(path, cluster_id="c", replica_id=1).close()
    with pytest.raises(CorruptFacts, match=f"^{path}/FACTS: byte 0: nothing says for which durability the folder was made; "):
        home(path)


# ---------------------------------------------------------------------------------------------------------------------- what it holds


def test_what_was_written_is_told_at_the_next_start(path: Path) -> None:
    opened = home(path)
    persistence, durable = opened.load(CORE)
    assert durable is None
    persistence.write(1, [Voted(3, 2)])
    persistence.close()
    persistence, durable = home(path).load(CORE)
    assert durable is not None
    assert durable.voted == Voted(3, 2)
    persistence.close()


def test_a_folder_that_cannot_be_read_is_given_back(path: Path) -> None:
    end(home(path))
    for file in path.glob("log-*"):
        file.unlink()
    for _ in range(2):
        with pytest.raises(Corrupt, match="there was one"):
            home(path).load(CORE)


# ----------------------------------------------------------------------------------------------------------------------- incarnations


def test_the_incarnation_names_the_folder_and_grows_with_each_opening(path: Path, tmp_path: Path) -> None:
    told = []
    for _ in range(3):
        opened = home(path)
        told.append(opened.incarnation)
        end(opened)
    assert [number & ((1 << OPENINGS_BITS) - 1) for number in told] == [1, 2, 3]
    assert len({number >> OPENINGS_BITS for number in told}) == 1
    other = home(tmp_path / "other")
    assert other.incarnation >> OPENINGS_BITS != told[0] >> OPENINGS_BITS
    end(other)


def refused(opened: HomeFolder, peer: int, incarnation: int) -> bool:
    try:
        opened.judge_peer(peer, incarnation)
    except HandshakeRefused as error:
        return error.why == "forgotten_state"
    return False


def test_a_peer_comes_back_with_its_folder_and_is_refused_without_it(path: Path) -> None:
    opened = home(path)
    assert not refused(opened, 0, THEIRS + 1)
    assert not refused(opened, 0, THEIRS + 9), "it was started again"
    assert refused(opened, 0, OTHERS + 1)
    assert not refused(opened, 0, THEIRS + 10), "the refused one changed nothing"
    assert not refused(opened, 2, OTHERS + 1), "each peer has a folder of its own"
    end(opened)


def test_peers_folders_are_remembered_across_restarts(path: Path) -> None:
    opened = home(path)
    opened.judge_peer(0, THEIRS + 1)
    opened.judge_peer(2, OTHERS + 1)
    end(opened)
    opened = home(path)
    assert refused(opened, 0, OTHERS + 2)
    assert refused(opened, 2, THEIRS + 2)
    assert not refused(opened, 0, THEIRS + 2)
    end(opened)


def test_who_is_refused_is_told_what_to_do(path: Path) -> None:
    opened = home(path)
    opened.judge_peer(0, THEIRS)
    with pytest.raises(HandshakeRefused) as caught:
        opened.judge_peer(0, OTHERS)
    assert "replica 0 came back without what it had promised" in caught.value.explanation
    assert "add it under a new one" in caught.value.explanation
    end(opened)


def test_a_peer_that_lost_its_folder_is_told_of_once(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    opened = home(path)
    opened.judge_peer(0, THEIRS)
    for number in range(3):
        assert refused(opened, 0, OTHERS + (number << OPENINGS_BITS))
    assert [record.levelname for record in caplog.records if "replica 0 came back without" in record.message] == ["WARNING"]
    end(opened)


def test_a_replica_that_forgot_what_it_acknowledged_says_so_and_what_that_may_mean(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    end(home(path, "memory"))
    assert caplog.records == []
    end(home(path, "memory"))
    (record,) = caplog.records
    assert (record.levelname, "forgot what it had acknowledged" in record.message, "lost" in record.message) == ("WARNING", True, True)


def test_a_replica_without_a_folder_has_another_name_each_time() -> None:
    one, other = home("", "memory"), home("", "memory")
    one.judge_peer(0, THEIRS)
    assert refused(one, 0, other.incarnation)
    assert one.incarnation != other.incarnation


def test_a_replica_that_diverged_does_not_start_from_its_folder_again(path: Path) -> None:
    opened = home(path)
    assert opened.folder is not None
    opened.folder.remember(DIVERGED, "its state at position 64 is not that of the majority")
    end(opened)
    for _ in range(2):  # the lock is given back
        with pytest.raises(StateDiverged, match=f"{path}: this replica diverged: its state at position 64.*; remove it from the cluster"):
            home(path)


def test_what_was_read_before_is_not_read_again(path: Path) -> None:
    end(home(path))
    opened, progress = home(path), Progress()
    opened.read(EXPIRED_MAX, progress)
    (path / "log-0000000000000001.segment").rename(path / "elsewhere")
    persistence, durable = opened.load(CORE)
    assert durable is not None
    assert (durable.entries, progress.what) == ([], "the log")
    persistence.close()


def test_a_folder_that_cannot_be_read_ahead_is_given_back(path: Path) -> None:
    end(home(path))
    (path / "log-0000000000000001.segment").unlink()
    for _ in range(2):
        with pytest.raises(Corrupt):
            home(path).read(EXPIRED_MAX)
