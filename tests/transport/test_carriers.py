"""Every kind of address gets its kind of link, and what is missing for it is named."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.transport.link_pairs import End, connected_sockets
from transport.adaptive import AdaptivePolicy
from transport.address import Kind, parse
from transport.batch import TurnPolicy
from transport.carriers import Carriers
from transport.errors import LocalMisuse
from transport.fabric import Fabric
from transport.limits import Limits
from transport.memory import MemoryLink
from transport.tcp import TcpLink
from transport.websocket import WebSocketLink

if TYPE_CHECKING:
    from transport.batch import BatchPolicy


def carriers(end: End, *, hub: bool = True, fabric: Fabric | None = None, policy: BatchPolicy | None = None) -> Carriers:
    return Carriers(end.turns, end.hub if hub else None, fabric, "us", policy or TurnPolicy(), Limits())


@pytest.mark.parametrize(("address", "kind"), [("127.0.0.1:0", TcpLink), ("ws://127.0.0.1:0/", WebSocketLink), ("memory:them", MemoryLink)])
async def test_each_address_gets_its_kind_of_link(address: str, kind: type) -> None:
    end = End()
    ours = carriers(end, fabric=Fabric())
    listener, bound = await ours.listen(parse(address))
    near = await ours.connect(bound)
    far, _ = await listener.accept()
    for wire, dialed in ((near, True), (far, False)):
        link = ours.link(wire, bound.kind, "other", end.on_frames, end.on_closed, dialed=dialed)
        assert type(link) is kind
        link.abort("enough")
    listener.close()
    end.hub.close()


async def test_links_that_learn_do_not_share_what_they_learnt() -> None:
    end, policy = End(), AdaptivePolicy()
    ours = carriers(end, policy=policy)
    near, far = (ours.link(wire, Kind.NATIVE, "other", end.on_frames, end.on_closed, dialed=True) for wire in connected_sockets())
    policy.delay_seconds = 1.0
    assert isinstance(near, TcpLink)
    assert isinstance(far, TcpLink)
    assert (near.batch_delay_seconds, far.batch_delay_seconds) == (0.0, 0.0)
    end.hub.close()


async def test_a_socket_that_listens_already_can_be_handed_in() -> None:
    end = End()
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    listener, bound = await carriers(end).listen(parse("127.0.0.1:0"), listening)
    assert bound.port == port
    (await carriers(end).connect(bound)).close()
    (await listener.accept())[0].close()
    listener.close()
    end.hub.close()


async def test_native_links_need_a_hub() -> None:
    end = End()
    near, far = connected_sockets()
    with near, far, pytest.raises(LocalMisuse, match="hub"):
        carriers(end, hub=False).link(near, Kind.NATIVE, "other", end.on_frames, end.on_closed, dialed=True)
    end.hub.close()


async def test_memory_links_need_a_fabric() -> None:
    end = End()
    with pytest.raises(LocalMisuse, match="fabric"):
        await carriers(end).connect(parse("memory:them"))
    end.hub.close()
