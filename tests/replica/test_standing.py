"""When a process ends because the others refuse it, and when it must not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from replica.cluster_file import ClusterFile, ReplicaPlace
from replica.config import SettingError, Settings
from replica.core.config import CoreConfig
from replica.core.effects import LinkUp, Received
from replica.core.messages import Entry
from replica.core.replica import Replica
from replica.hello import Hello
from replica.home_folder import HomeFolder
from replica.standing import CONTRADICTIONS, FORGOTTEN, Standing
from replica.storage.errors import StateForgotten
from statemachine.command import PUT
from tests.replica.core.lone import accept
from transport.errors import HandshakeRefused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


COMMAND = Entry(1, 1, 0, [], [1], [1], [1], [1], bytes([PUT]), [b"k"], [b"v"])


class Stand:
    """Replica 2 of three or five, with its folder."""

    def __init__(self, path: Path, voters: int = 3) -> None:
        self.path = path
        places = tuple(ReplicaPlace(id=number, data_dir=str(path)) for number in range(voters))
        self.home = HomeFolder(Settings(), ClusterFile(cluster_id="c", replicas=places), 2)
        self.config = CoreConfig(id=2, voters=tuple(range(voters)))
        self.persistence, durable = self.home.load(self.config)
        self.core = Replica(self.config, durable)
        hello = Hello(cluster_id="c", mode="ht", role="replica", id=2, incarnation=1, config=1, voters=self.config.voters)
        self.standing = Standing(self.core, self.home, hello)

    def hear_leader(self) -> None:
        self.core.step(LinkUp(0, peer=True), 1.0)
        self.core.step(Received(0, [accept(1)]), 1.0)

    def refuse(self, why: str, *peers: int, told: bool = True, linked: tuple[int, ...] = ()) -> None:
        for peer in peers:
            self.standing.on_refused(peer, HandshakeRefused(why, f"{why} at {peer}", told=told), linked)

    def left(self) -> list[str]:
        self.persistence.close()
        return [file.name for file in self.path.iterdir()] if self.path.exists() else []


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    made = Stand(tmp_path / "data")
    yield made
    made.persistence.close()


# ---------------------------------------------------------------------------------------------------------------------- contradictions


@pytest.mark.parametrize(
    ("why", "line"),
    [
        ("wrong_cluster", "cluster_id c: replicas 0 and 1 refused this replica for it: wrong_cluster at 1"),
        ("wrong_mode", "mode ht: replicas 0 and 1 refused this replica for it: wrong_mode at 1"),
        ("wrong_version", "protocol version: replicas 0 and 1 refused this replica for it: wrong_version at 1"),
        ("wrong_voters", "--cluster with voters 0, 1, 2: replicas 0 and 1 refused this replica for it: wrong_voters at 1"),
    ],
)
def test_who_contradicts_so_many_that_no_majority_is_left_ends_and_takes_its_folder_back(stand: Stand, why: str, line: str) -> None:
    stand.refuse(why, 0)
    with pytest.raises(SettingError) as caught:
        stand.refuse(why, 1)
    assert str(caught.value) == line
    assert stand.left() == []


def test_one_voter_s_word_ends_nobody_however_often_it_is_said(stand: Stand) -> None:
    for why in CONTRADICTIONS * 3:
        stand.refuse(why, 0)
    assert stand.left() != []


def test_of_five_two_that_contradict_leave_a_majority(tmp_path: Path) -> None:
    stand = Stand(tmp_path / "data", 5)
    stand.refuse("wrong_mode", 0, 1, 0, 1)
    with pytest.raises(SettingError, match=r"^mode ht: replicas 0 and 1 and 4 refused"):
        stand.refuse("wrong_mode", 4)
    stand.persistence.close()


def test_who_refused_before_it_took_us_does_not_count(stand: Stand) -> None:
    stand.refuse("wrong_mode", 0)
    stand.refuse("wrong_mode", 1, linked=(0,))
    with pytest.raises(SettingError):
        stand.refuse("wrong_mode", 0)


def test_a_member_that_is_no_voter_ends_nobody(stand: Stand) -> None:
    stand.refuse("wrong_mode", 0, 7, 8)
    assert stand.left() != []


def test_what_we_refuse_others_for_does_not_end_us(stand: Stand) -> None:
    for why in (FORGOTTEN, *CONTRADICTIONS):
        stand.refuse(why, 0, 1, told=False)
    assert stand.left() != []


@pytest.mark.parametrize("why", ["unknown_replica", "removed", "own_id", "unexpected_identity", "malformed_hello", "wrong_role"])
def test_what_may_pass_or_is_somebody_elses_matter_ends_nobody(stand: Stand, why: str) -> None:
    stand.refuse(why, 0, 1)
    assert stand.left() != []


def test_a_replica_that_heard_a_leader_is_not_ended_by_those_who_contradict_it_later(stand: Stand) -> None:
    assert not stand.standing.look()
    stand.hear_leader()
    stand.refuse("wrong_mode", 0, 1)
    stand.refuse("wrong_cluster", 0, 1)
    assert stand.left() != []


def test_that_it_heard_a_leader_is_not_forgotten_when_the_leader_is_gone(stand: Stand) -> None:
    stand.hear_leader()
    assert stand.standing.look()
    stand.core.election.lost_leader()
    stand.refuse("wrong_mode", 0, 1)
    assert stand.standing.look()


def test_a_folder_of_before_stays_as_it_is(tmp_path: Path) -> None:
    Stand(tmp_path / "data").persistence.close()
    stand = Stand(tmp_path / "data")
    stand.refuse("wrong_mode", 0)
    with pytest.raises(SettingError):
        stand.refuse("wrong_mode", 1)
    assert min(stand.left()) == "FACTS"


# --------------------------------------------------------------------------------------------------------------------- forgotten state


def test_one_voter_that_knows_another_folder_ends_who_has_nothing_to_lose(stand: Stand) -> None:
    with pytest.raises(StateForgotten) as caught:
        stand.refuse(FORGOTTEN, 0)
    line = f"{stand.path}: not what replica 2 had before: replica 0 knew it with another folder; put that folder back as it was when"
    assert str(caught.value).startswith(line)
    assert str(caught.value).endswith("triskele members replace 2 NEWID ADDRESS")
    assert caught.value.exit_status == 2
    assert stand.left() == []


def test_the_first_word_is_the_only_end(stand: Stand) -> None:
    with pytest.raises(StateForgotten):
        stand.refuse(FORGOTTEN, 0)
    stand.refuse(FORGOTTEN, 1)


def test_two_wiped_replicas_that_take_each_other_do_not_begin_the_cluster_anew(stand: Stand) -> None:
    stand.hear_leader()
    with pytest.raises(StateForgotten):
        stand.refuse(FORGOTTEN, 1, linked=(0,))
    assert stand.left() != [], "somebody may rely on it"


def test_who_knows_commands_is_not_ended_by_one_voter_but_by_so_many_that_no_majority_is_left(stand: Stand) -> None:
    stand.core.node.append_entry(COMMAND)
    stand.refuse(FORGOTTEN, 0)
    with pytest.raises(StateForgotten, match="replicas 0 and 1 knew it with another folder"):
        stand.refuse(FORGOTTEN, 1)


def test_who_knows_commands_and_heard_a_leader_is_not_ended_by_the_word_of_all(stand: Stand) -> None:
    stand.core.node.append_entry(COMMAND)
    stand.hear_leader()
    stand.refuse(FORGOTTEN, 0, 1)
    assert stand.left() != []


def test_a_replica_without_a_folder_that_comes_back_is_told_to_be_replaced() -> None:
    places = tuple(ReplicaPlace(id=number) for number in range(3))
    home = HomeFolder(Settings(durability="memory"), ClusterFile(cluster_id="c", replicas=places), 2)
    config = CoreConfig(id=2, voters=(0, 1, 2), durable=False)
    hello = Hello(cluster_id="c", mode="ho", role="replica", id=2, incarnation=1, config=1, voters=(0, 1, 2))
    with pytest.raises(StateForgotten, match=r"^no data folder: not what replica 2 had before: .*; let a new replica take this one's place"):
        Standing(Replica(config), home, hello).on_refused(0, HandshakeRefused(FORGOTTEN, told=True))
