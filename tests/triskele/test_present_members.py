"""Who belongs to a cluster is asked of whoever of a file answers."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from replica.admin import AdminServer, Page, json_page, text_page
from replica.cluster_file import ClusterFile, ReplicaPlace
from replica.listening import bound_address, open_socket
from triskele.present_members import Present, present_members


class Town:
    """Replicas that tell of the members; ``told``: what each tells, None: nobody listens."""

    def __init__(self, nursery: trio.Nursery) -> None:
        self.nursery = nursery
        self.told: dict[int, Any] = {}
        self.admins: dict[int, str] = {}
        self.asked: list[int] = []

    async def settle(self, *replicas: int) -> None:
        for replica in replicas:
            opened = open_socket("127.0.0.1:0")
            self.admins[replica] = f"http://{bound_address(opened)}"
            await self.nursery.start(
                AdminServer({"/members": self._page(replica)}).serve, [trio.SocketListener(trio.socket.from_stdlib_socket(opened))]
            )

    def _page(self, replica: int) -> Any:
        def members(_query: object) -> Page:
            self.asked.append(replica)
            told = self.told.get(replica)
            return text_page("reading the log: 40 %\n", 503) if told is None else json_page(told)

        return members

    def file(self, *replicas: int) -> ClusterFile:
        return ClusterFile(cluster_id="c", replicas=tuple(ReplicaPlace(id=number, admin=self.admins[number]) for number in replicas))

    def tell(self, replica: int, config_id: int, *members: int, view: int = 1, leader: int = 0, learners: tuple[int, ...] = ()) -> None:
        rows = [
            {
                "id": number,
                "role": "learner" if number in learners else "voter",
                "address": f"h:{number}",
                "websocket": "",
                "admin": self.admins[number],
            }
            for number in members
        ]
        self.told[replica] = {"id": replica, "leader": leader, "view": view, "config_id": config_id, "members": rows}


async def ask(cluster: ClusterFile) -> Present:
    with trio.fail_after(20):
        return await present_members(cluster, 5.0)


def ids(cluster: ClusterFile) -> list[int]:
    return [place.id for place in cluster.replicas]


async def test_members_that_no_file_names_are_found_and_those_that_left_are_not_among_them() -> None:
    async with trio.open_nursery() as nursery:
        town = Town(nursery)
        await town.settle(0, 1, 2, 7)
        town.tell(0, 1, 0, 1, 2)  # it left, and does not know
        town.tell(1, 3, 1, 2, 7, leader=2)
        town.tell(2, 3, 1, 2, 7, leader=2)
        found = await ask(town.file(0, 1, 2))
        assert (ids(found.members), ids(found.voters), ids(found.everybody)) == ([1, 2, 7], [1, 2, 7], [0, 1, 2, 7])
        assert found.members.replica(7) == ReplicaPlace(id=7, address="h:7", admin=town.admins[7])
        assert found.members.cluster_id == "c"
        assert town.asked.count(7) == 1, "who may know better is asked too"
        nursery.cancel_scope.cancel()


async def test_what_is_no_address_in_the_configuration_is_left_out_and_its_member_is_known() -> None:
    async with trio.open_nursery() as nursery:
        town = Town(nursery)
        await town.settle(0, 1)
        for replica in (0, 1):
            town.tell(replica, 2, 0, 1)
            town.told[replica]["members"].append(
                {"id": 5, "role": "learner", "address": "replica5..example.com:7405", "websocket": "ws://memory:1", "admin": "nonsense"}
            )
        found = await ask(town.file(0, 1))
        assert found.members.replica(5) == ReplicaPlace(id=5), "so a file with it can be read again"
        assert found.told is not None
        assert found.told["members"][-1]["address"] == "replica5..example.com:7405", "as it stands there"
        nursery.cancel_scope.cancel()


async def test_a_file_all_of_whose_replicas_left_leads_to_those_who_know() -> None:
    async with trio.open_nursery() as nursery:
        town = Town(nursery)
        await town.settle(0, 1, 2, 3)
        town.tell(0, 2, 0, 1, leader=-1)
        town.tell(1, 3, 1, 2, leader=-1)
        town.tell(2, 5, 2, 3, view=4, leader=3, learners=(2,))
        town.tell(3, 5, 2, 3, view=4, leader=3, learners=(2,))
        found = await ask(town.file(0))
        assert (ids(found.members), ids(found.voters)) == ([2, 3], [3])
        nursery.cancel_scope.cancel()


async def test_a_leader_s_word_of_the_highest_view_counts() -> None:
    async with trio.open_nursery() as nursery:
        town = Town(nursery)
        await town.settle(0, 1, 2, 3)
        town.tell(0, 4, 0, 1, 2, 3, view=1, leader=0)  # cut off, with changes that were never committed
        town.tell(1, 2, 0, 1, 2, view=2, leader=2)
        town.tell(2, 1, 0, 1, view=2, leader=2)
        assert ids((await ask(town.file(0, 1, 2))).members) == [0, 1]
        nursery.cancel_scope.cancel()


async def test_where_nobody_tells_the_file_counts() -> None:
    async with trio.open_nursery() as nursery:
        town = Town(nursery)
        await town.settle(0, 1, 2)
        town.told = {0: None, 1: [1], 2: {"id": 2}}
        cluster = town.file(0, 1, 2)
        assert await ask(cluster) == Present(cluster, cluster, cluster)
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (2, 0)])
async def test_a_list_of_addresses_has_no_ids_and_the_replicas_have(order: tuple[int, ...]) -> None:
    async with trio.open_nursery() as nursery:
        town = Town(nursery)
        await town.settle(0, 1, 2)
        for number in range(3):
            town.tell(number, 1, 0, 1, 2)
        listed = ClusterFile(replicas=tuple(ReplicaPlace(id=place, admin=town.admins[number]) for place, number in enumerate(order)))
        found = await ask(listed)
        assert {place.id: place.admin for place in found.members.replicas} == town.admins
        assert ids(found.everybody) == [0, 1, 2]
        nursery.cancel_scope.cancel()
