"""The proxies of a whole cluster: each replica, and the clients, reach everybody else through one of their own."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import attrs

from replica.cluster_file import write_cluster_file
from triskele.chaos.network import CLIENTS
from triskele.chaos.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import trio

    from replica.cluster_file import ClusterFile
    from triskele.chaos.network import Network


class Proxies:
    """The proxies of a cluster, each replica's view of the others, and the clients'.

    Args:
        network: What they ask.
        nursery: Where they run.
        folder: For the replicas' cluster files.
        seed: Of what differs between connections.
        home: The replica that clients dial without a proxy; None: there is none.

    Attributes:
        clients: The cluster as clients dial it, when all are started.
    """

    clients: ClusterFile

    def __init__(self, network: Network, nursery: trio.Nursery, folder: Path, seed: int, home: int | None = None) -> None:
        self._network, self._nursery, self._folder, self._home = network, nursery, folder, home
        self._chance = random.Random(f"connections/{seed}")

    async def seen_by(self, file: ClusterFile) -> Mapping[int, Path]:
        """Start them; return the cluster file of each replica: its own address is true, the others are proxies."""
        found: dict[int, Path] = {}
        for place in file.replicas:
            found[place.id] = self._folder / f"seen-by-{place.id}.toml"
            write_cluster_file(await self._file(file, place.id), found[place.id])
        self.clients = await self._file(file, CLIENTS)
        return found

    async def _file(self, file: ClusterFile, near: int) -> ClusterFile:
        places = []
        for place in file.replicas:
            address = place.address
            if place.id != (self._home if near == CLIENTS else near):
                host, port = address.rsplit(":", 1)
                proxy = Proxy(near, place.id, host, int(port), self._network, self._chance)
                address = f"127.0.0.1:{await self._nursery.start(proxy.serve)}"
            places.append(attrs.evolve(place, address=address))
        return attrs.evolve(file, replicas=tuple(places))
