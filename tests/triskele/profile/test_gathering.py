from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import trio

from replica.admin import AdminServer, Page, json_page, text_page
from replica.cluster_file import ClusterFile, ReplicaPlace
from replica.listening import bound_address, open_socket
from tests.replica.profiling.recorded import SMALL
from triskele.profile.gathering import Gathering, idle_share, machine_times

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

GOOD = json_page({"before": {"role": "follower"}, "after": {"role": "leader"}, "recording": SMALL.as_json()})


@asynccontextmanager
async def replicas(*answers: Page | None) -> AsyncIterator[tuple[Gathering, list[dict[str, str]]]]:
    """Replicas whose profile page answers so (None: nobody listens), and what they were asked."""
    asked: list[dict[str, str]] = []
    places = []

    def answering(answer: Page) -> Callable[[Mapping[str, str]], Page]:
        def page(query: Mapping[str, str]) -> Page:
            asked.append(dict(query))
            return answer

        return page

    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            for number, answer in enumerate(answers):
                opened = open_socket("127.0.0.1:0")
                places.append(ReplicaPlace(id=number, admin=f"http://{bound_address(opened)}"))
                if answer is None:
                    opened.close()
                    continue
                server = AdminServer({"/debug/pprof/profile": answering(answer)})
                await nursery.start(server.serve, [trio.SocketListener(trio.socket.from_stdlib_socket(opened))])
            yield Gathering(ClusterFile(replicas=tuple(places)), 0.5, 50), asked
            nursery.cancel_scope.cancel()


async def test_every_replica_is_sampled_for_so_long_and_so_often() -> None:
    async with replicas(GOOD, GOOD, GOOD) as (gathering, asked):
        await gathering.sample_all()
    assert [sampled.id for sampled in gathering.found] == [0, 1, 2]
    assert (gathering.found[0].recording, gathering.found[0].role) == (SMALL, "leader")
    assert asked == [{"seconds": "0.5", "hz": "50", "format": "json"}] * 3
    assert gathering.missing == {}
    assert 0 <= gathering.machine_idle <= 1


async def test_a_replica_that_cannot_be_sampled_is_missing_and_says_why() -> None:
    strange = Page(200, "application/json", json.dumps({"after": {}}).encode())
    async with replicas(GOOD, None, text_page("one at a time\n", 409), strange) as (gathering, _):
        gathering.cluster = ClusterFile(replicas=(*gathering.cluster.replicas, ReplicaPlace(id=4)))
        await gathering.sample_all()
    assert [sampled.id for sampled in gathering.found] == [0]
    assert "Connection refused" in gathering.missing[1]
    assert gathering.missing[2].endswith("one at a time (HTTP 409)")
    assert "this is no profile" in gathering.missing[3]
    assert gathering.missing[4] == "no admin address is known"


def test_the_machine_s_idle_share_is_that_of_the_window() -> None:
    assert idle_share((100, 1000), (150, 1200)) == 0.25
    assert idle_share((0, 0), (0, 0)) == 0.0
    idle, whole = machine_times()
    assert 0 <= idle <= whole
