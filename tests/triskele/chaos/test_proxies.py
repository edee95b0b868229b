"""Each replica finds everybody else behind a proxy of its own, and so do the clients, but for their home."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio

from replica.cluster_file import ClusterFile, ReplicaPlace, parse_cluster
from triskele.chaos.network import Network
from triskele.chaos.proxies import Proxies

if TYPE_CHECKING:
    from pathlib import Path

TRUE = {number: f"127.0.0.1:{7400 + number}" for number in range(3)}
FILE = ClusterFile(
    cluster_id="c",
    mode="ho",
    durability="memory",
    replicas=tuple(ReplicaPlace(id=number, address=address, websocket="", admin="") for number, address in TRUE.items()),
)


@pytest.mark.parametrize("home", [None, 1])
async def test_everybody_sees_only_what_is_near_as_it_is(home: int | None, tmp_path: Path) -> None:
    async with trio.open_nursery() as nursery:
        proxies = Proxies(Network(), nursery, tmp_path, 0, home)
        files = await proxies.seen_by(FILE)
        nursery.cancel_scope.cancel()
    seen = {near: dict(enumerate(parse_cluster(str(file)).addresses())) for near, file in files.items()}
    clients = dict(enumerate(proxies.clients.addresses()))
    for near in TRUE:
        assert [number for number in TRUE if seen[near][number] == TRUE[number]] == [near]
    assert [number for number in TRUE if clients[number] == TRUE[number]] == ([] if home is None else [home])
    ways = [seen[near][far] for near in TRUE for far in TRUE if near != far] + [clients[far] for far in TRUE if far != home]
    assert len(set(ways)) == len(ways)
