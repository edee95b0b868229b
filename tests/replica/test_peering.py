"""Whom a replica speaks to follows the configuration in its log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs
import pytest
import trio
import trio.testing

from replica.cluster_file import ClusterFile, ReplicaPlace
from replica.config import SettingError
from replica.core.config import CoreConfig
from replica.core.configuration import Configuration
from replica.core.messages import Contact
from replica.core.node import Node
from replica.hello import Hello, HelloError, decode_hello, encode_hello, refusal_in
from replica.peering import LONELY_SECONDS, Peering
from tests.replica.fake_links import CLIENT, FakeLink
from transport.errors import HandshakeRefused
from transport.handshake import Identity
from transport.mesh import Mesh
from transport.turns import Turns
from triskele.cli.framework import only_error

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from trio.testing import MockClock

CLUSTER = ClusterFile(cluster_id="c", replicas=tuple(ReplicaPlace(id=number, address=f"h:{number}") for number in range(3)))
SECOND = Configuration(2, (0, 1, 2)).with_learner(3, "h:33")
GONE = SECOND.without(1)


@attrs.frozen
class Linked:
    """A connection that is up."""

    link: FakeLink


@attrs.frozen
class Dialer:
    """A mesh without links."""

    dial: Callable[..., Awaitable[None]]
    links: Mapping[object, Identity] = attrs.Factory(dict)


def hello(replica_id: int, config: int = 1, voters: tuple[int, ...] = (0, 1, 2)) -> Hello:
    return Hello(cluster_id="c", mode="ho", role="replica", id=replica_id, incarnation=1, config=config, voters=voters)


def peering(replica_id: int, told: Configuration | None = None) -> Peering:
    node = Node(CoreConfig(id=replica_id, voters=(0, 1, 2), joins=told is not None and told.number == 0))
    made = Peering(node, CLUSTER, hello(replica_id))
    made.mesh = Mesh(
        Turns(lambda: None), encode_hello(made.hello), lambda _: pytest.fail("judged"), on_link_up=lambda *_: None,
        on_link_down=lambda *_: None, on_frames=lambda *_: None,
    )  # fmt: skip
    if told is not None:
        node.configuration = told
        made.on_configured()
    return made


def refused(made: Peering, theirs: Hello) -> str:
    """Return why another side is refused; empty if it is let in."""
    try:
        made.judge(theirs)
    except HelloError as error:
        return error.reason
    return ""


def test_members_are_let_in_learners_too() -> None:
    made = peering(0, SECOND)
    assert [refused(made, theirs) for theirs in (hello(1), hello(2, 2), hello(3, 0, ()))] == ["", "", ""]


def test_a_stranger_is_told_how_to_become_a_member() -> None:
    with pytest.raises(HelloError, match="replica 3 is none of 0, 1, 2: add it first"):
        peering(0).judge(hello(3, 0, ()))
    assert refused(peering(0, SECOND), hello(7, 3)) == "unknown_replica"


def test_a_stranger_with_a_newer_configuration_may_have_to_tell_us_of_it() -> None:
    assert refused(peering(0), hello(3, 4, (0, 1, 3))) == ""


def test_who_was_removed_is_told_so_unless_it_still_leads() -> None:
    made = peering(0, GONE)
    with pytest.raises(HelloError, match=r"replica 1 was removed from the cluster \(configuration 4\)"):
        made.judge(hello(1))
    made.node.leader = 1
    assert refused(made, hello(1)) == ""


def test_who_is_told_that_it_was_removed_remembers_why() -> None:
    made = peering(1)
    told: list[str] = []
    for reason in ("wrong_mode", "removed", "removed"):
        made.on_refused(reason, f"{reason}, the {len(told)}th")
        told.append(made.removed)
    assert told == ["", "removed, the 1th", "removed, the 1th"]
    assert made._wanted() == {}, "and dials nobody any more"


def test_the_hello_names_the_present_voters() -> None:
    made = peering(0, GONE)
    assert made.mesh is not None
    assert decode_hello(made.mesh.hello) == attrs.evolve(hello(0), config=GONE.number, voters=(0, 2))


@pytest.mark.parametrize(
    ("own", "told", "wanted"),
    [
        (2, None, {0: "h:0", 1: "h:1"}),
        (2, SECOND, {0: "h:0", 1: "h:1"}),
        (2, GONE, {0: "h:0"}),
        (7, SECOND, {0: "h:0", 1: "h:1", 2: "h:2", 3: "h:33"}),
        (3, Configuration(0, ()), {0: "h:0", 1: "h:1", 2: "h:2"}),
    ],
)
def test_of_two_members_the_one_with_the_higher_id_dials(own: int, told: Configuration | None, wanted: dict[int, str]) -> None:
    assert peering(own, told)._wanted() == wanted


def removal(*, committed: bool) -> tuple[Peering, FakeLink]:
    """Replica 0, linked to replica 1, with the removal of that one in its log."""
    made = peering(0)
    assert made.mesh is not None
    link = FakeLink()
    made.mesh._exclusive[1] = Linked(link)  # type: ignore[assignment]
    made.node.configurations.told.append((5, GONE))
    made.node.configuration = GONE
    made.node.commit_index = 5 if committed else 4
    made.on_configured()
    return made, link


def test_who_was_removed_is_told_so_with_the_last_frame_of_its_link() -> None:
    _, link = removal(committed=True)
    assert link.close_reason == "removed"
    (frame,) = link.frames
    told = refusal_in(b"".join(frame))
    assert told is not None
    assert (told.reason, told.detail) == ("removed", "replica 1 was removed from the cluster (configuration 4); stop it")


def test_a_removal_that_may_be_cut_off_again_parts_nobody() -> None:
    made, link = removal(committed=False)
    assert (link.close_reason, link.frames, refused(made, hello(1))) == (None, [], "")
    assert 1 in made._kept()
    made.node.commit_index = 5
    made.on_configured()
    assert (link.close_reason, refused(made, hello(1)), 1 in made._kept()) == ("removed", "removed", False)


def test_a_leader_that_leaves_is_kept_until_another_leads() -> None:
    made, link = removal(committed=False)
    made.node.leader, made.node.commit_index = 1, 5
    made.on_configured()
    assert (link.close_reason, 1 in made._kept()) == (None, True)
    made.node.leader = 2
    made.on_configured()
    assert link.close_reason == "removed"


def test_who_was_removed_serves_no_client_whether_it_was_told_or_knows_it_from_its_log() -> None:
    client = attrs.evolve(hello(0), role="client", voters=())
    told, knows = peering(1), peering(1, GONE)
    assert refused(told, client) == ""
    assert told.mesh is not None
    links = {FakeLink("client"): CLIENT, FakeLink("peer"): Identity(0, exclusive=True)}
    told.mesh._links.update(links)  # type: ignore[arg-type]
    told.on_refused("removed", "you were removed")
    assert [link.close_reason for link in links] == ["removed", None]
    assert refused(told, client) == refused(knows, client) == "removed"
    assert (told.gone, knows.gone) == ("you were removed", "replica 1 was removed from the cluster (configuration 4); stop it")
    knows.node.leader = 1
    assert (knows.gone, refused(knows, client)) == ("", ""), "it leads until another can"


async def test_who_is_linked_to_nobody_dials_those_too_that_should_dial_it(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    """The lowest id of all, removed while it was away: nobody dials it any more."""
    made = peering(0)
    dialed: list[str] = []

    async def dial(_identity: Identity, address: str, *_more: object) -> None:
        dialed.append(address)
        await trio.sleep_forever()

    made.mesh = Dialer(dial)  # type: ignore[assignment]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.run)
        await trio.sleep(LONELY_SECONDS - 0.1)
        assert dialed == []
        await trio.sleep(0.2)
        assert sorted(dialed) == ["h:1", "h:2"]
        made.on_refused("removed", "you were removed")
        await trio.testing.wait_all_tasks_blocked()
        assert made._dialing == {}
        nursery.cancel_scope.cancel()


async def test_who_is_linked_waits_to_be_dialed(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    made = peering(0)
    assert made.mesh is not None
    made.mesh._links[FakeLink()] = Identity(2, exclusive=True)  # type: ignore[index]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.run)
        await trio.sleep(10 * LONELY_SECONDS)
        assert made._dialing == {}
        nursery.cancel_scope.cancel()


async def test_who_is_told_by_whom_it_dialed_that_it_was_removed_goes_by_it(autojump_clock: MockClock) -> None:  # noqa: ARG001 - virtual time
    made = peering(1)

    async def dial(_identity: Identity, _address: str, on_refused: Callable[[HandshakeRefused], None]) -> None:
        on_refused(HandshakeRefused("removed", "we say so", told=False))
        assert made.removed == ""
        on_refused(HandshakeRefused("removed", "you were removed", told=True))

    made.mesh = Dialer(dial)  # type: ignore[assignment]
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.run)
        await trio.testing.wait_all_tasks_blocked()
        assert made.removed == "you were removed"
        nursery.cancel_scope.cancel()


@attrs.frozen
class Judge:
    """Notes what is judged of this replica's standing."""

    heard: list[tuple[int, str, set[int]]] = attrs.Factory(list)

    def look(self) -> bool:
        return False

    def on_refused(self, peer: int, refused: HandshakeRefused, linked: set[int]) -> None:
        self.heard.append((peer, refused.why, linked))
        raise SettingError("--mode", "ht", "refused")


@pytest.mark.parametrize("told", [True, False])
async def test_who_is_told_by_a_dialing_side_that_it_forgot_or_is_contradicted_by_it_asks_everybody_back(*, told: bool) -> None:
    """A stranger may dial: only what is heard where another replica is dialed goes to its standing, and may end it."""
    judge = Judge()
    made = Peering(peering(1).node, CLUSTER, hello(1), judge)  # type: ignore[arg-type]
    dialed: list[str] = []

    async def dial(_identity: Identity, address: str, on_refused: Callable[[HandshakeRefused], None]) -> None:
        dialed.append(address)
        if address == "h:2":
            on_refused(HandshakeRefused("forgotten_state", told=True))
        await trio.sleep_forever()

    made.mesh = Dialer(dial, {FakeLink(): Identity(0, exclusive=True), FakeLink(): Identity("client 1", exclusive=False)})  # type: ignore[assignment]
    with pytest.raises(ExceptionGroup) as caught:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(made.run)
            await trio.testing.wait_all_tasks_blocked()
            made.on_refused("wrong_mode", "")
            await trio.testing.wait_all_tasks_blocked()
            assert (dialed, judge.heard) == (["h:0"], [])
            if told:
                made.on_refused("forgotten_state", "")
            else:
                assert refused(made, attrs.evolve(hello(2), mode="ht")) == "wrong_mode"
    assert isinstance(only_error(caught.value), SettingError)
    assert (dialed, judge.heard) == (["h:0", "h:2"], [(2, "forgotten_state", {0})])


def test_where_a_replica_listens_is_said_at_once() -> None:
    link = FakeLink()
    peering(0).introduce(link, ("h:1", "h:2", "h:3"))  # type: ignore[arg-type]
    assert (link.sections, link.flushed) == ([Contact([b"h:1", b"h:2", b"h:3"])], 1)
