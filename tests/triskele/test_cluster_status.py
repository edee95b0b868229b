from __future__ import annotations

import trio

from replica.cluster_file import ReplicaPlace, parse_cluster
from triskele.cluster_status import admin_of, gather_status


def test_native_addresses_alone_are_looked_up_where_up_puts_the_admin() -> None:
    assert admin_of(ReplicaPlace(id=0, address="127.0.0.1:7400")) == "http://127.0.0.1:7600"
    assert admin_of(ReplicaPlace(id=0, address="127.0.0.1:7400", admin="http://h:1")) == "http://h:1"
    assert admin_of(ReplicaPlace(id=0, address="127.0.0.1:65500")) == "", "there is no such port"
    assert admin_of(ReplicaPlace(id=0, address="replica0..example.com:7400")) == "", "there is no such host"


async def test_without_an_admin_address_it_is_said_which_to_give() -> None:
    with trio.fail_after(5):
        rows = await gather_status(parse_cluster("ws://127.0.0.1:7500"), 1.0)
    assert rows == [{"id": 0, "error": "no admin address is known: give a ready file, a cluster TOML or http://HOST:PORT"}]
