"""Replicas of which only the admin is there, and says what a test wants."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import trio

from replica.admin import AdminServer, Page, Stream, json_page
from replica.cluster_file import ClusterFile, ReplicaPlace
from replica.listening import bound_address, open_socket

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping


DONE = 200


class Stand:
    """Some replicas.

    Attributes:
        rows: What each says of itself, in their order; None: nobody listens.
        asked: ``(replica, query)`` of each transfer that was asked for.
        on_transfer: What a replica answers to that.
        on_snapshot: Likewise to a snapshot.
        on_status: Called before a status is told.
        on_members: What each replica tells of the members, under its own id, and answers to a change.
    """

    def __init__(self, rows: list[dict[str, Any] | None]) -> None:
        self.rows = rows
        self.asked: list[tuple[int, dict[str, str]]] = []
        self.on_transfer: Callable[[], Page] = lambda: json_page({"from": 0, "to": 1})
        self.on_snapshot: Callable[[], Page | Stream] = lambda: json_page(None, 503)
        self.on_status: Callable[[], None] = lambda: None
        self.on_members: Callable[[], Page] = lambda: json_page(None, 503)
        self.cluster = ClusterFile(replicas=(ReplicaPlace(id=0),))

    def server(self, number: int) -> AdminServer:
        def status(_query: Mapping[str, str]) -> Page:
            self.on_status()
            return json_page(self.rows[number])

        def transfer(query: Mapping[str, str]) -> Page:
            self.asked.append((number, dict(query)))
            return self.on_transfer()

        def change(query: Mapping[str, str]) -> Page:
            self.asked.append((number, dict(query)))
            return self.on_members()

        def members(_query: Mapping[str, str]) -> Page:
            page = self.on_members()
            told = json.loads(page.body) if page.status == DONE else None
            return page if told is None else json_page(told | {"id": number})

        pages = {"/status": status, "/snapshot": lambda _query: self.on_snapshot(), "/members": members}
        return AdminServer(pages, {"/transfer-leader": transfer, "/members/add": change, "/members/remove": change})


@asynccontextmanager
async def stand(*rows: dict[str, Any] | None) -> AsyncIterator[Stand]:
    """Run their admin servers for the length of the block."""
    made = Stand(list(rows))
    places = []
    with trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            for number, row in enumerate(rows):
                opened = open_socket("127.0.0.1:0")
                places.append(ReplicaPlace(id=number, admin=f"http://{bound_address(opened)}"))
                if row is None:
                    opened.close()
                    continue
                await nursery.start(made.server(number).serve, [trio.SocketListener(trio.socket.from_stdlib_socket(opened))])
            made.cluster = ClusterFile(replicas=tuple(places))
            yield made
            nursery.cancel_scope.cancel()


def leads(replica_id: int, view: int) -> dict[str, Any]:
    return {"id": replica_id, "role": "leader", "view": view}


def follows(replica_id: int, view: int, role: str = "follower") -> dict[str, Any]:
    return {"id": replica_id, "role": role, "view": view}
