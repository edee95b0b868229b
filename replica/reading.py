"""The time between a process's start and its first turn: a thread reads the data folder, and the admin listener says how far it is.

A folder of a million keys takes seconds to read.  Whoever watches the replica must be told that it lives, and why it does not serve yet.  Nobody
else is answered before it does: connections of peers and clients wait in the listening sockets, and are served at once when it is done; who
waits longer than its handshake may take dials again.

A thread, and not slices between turns: there are no turns yet, and what is read belongs to nobody until it is all there.
"""

from __future__ import annotations

import gc
import logging
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import attrs
import trio

from replica.admin import AdminServer, Page, text_page
from statemachine.sessions import EXPIRED_MAX

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Collection, Iterator, Mapping

    from replica.home_folder import HomeFolder

logger = logging.getLogger("triskele.replica")

Item = TypeVar("Item")

UNAVAILABLE = 503
PAGES = ("/readyz", "/status", "/metrics", "/counters", "/snapshot")
"""Pages of a replica that serves; until then each gives the reason why it does not."""


@attrs.define(eq=False)
class Progress:
    """How far the reading is; written in its thread, read in any.

    Attributes:
        what: is being read.
        done: of ``total``.
        told: what was read, in words.
    """

    what: str = "the data folder"
    done: int = 0
    total: int = 0
    told: list[str] = attrs.Factory(list)

    def count(self, what: str, items: Collection[Item] | Iterator[Item], total: int) -> Iterator[Item]:
        """Pass items on and count them."""
        self.what, self.done, self.total = what, 0, total
        for item in items:
            self.done += 1
            yield item

    def reason(self) -> str:
        """Say why the replica does not serve yet."""
        return f"reading {self.what}" + (f": {100 * self.done // self.total} %" if self.total else "")


async def read_folder(home: HomeFolder, admin: socket.socket) -> None:
    """Read a replica's folder, and answer the admin listener meanwhile.

    Args:
        home: the folder.
        admin: listens; it goes on listening.

    Raises:
        StorageError: the folder cannot be read.
    """
    progress, begun = Progress(), trio.current_time()
    failure: Exception | None = None
    async with trio.open_nursery() as nursery:
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(admin.dup()))
        await nursery.start(AdminServer(pages(progress)).serve, [listener])
        try:
            with resting_collector():
                await trio.to_thread.run_sync(home.read, EXPIRED_MAX, progress, abandon_on_cancel=True)
        except Exception as error:  # noqa: BLE001 - raised again below: the nursery would wrap it in a group
            failure = error
        nursery.cancel_scope.cancel()
    if failure is not None:
        raise failure
    if progress.told:
        logger.info("read %s, %.1f s", " and ".join(progress.told), trio.current_time() - begun)


def pages(progress: Progress) -> dict[str, Callable[[Mapping[str, str]], Page]]:
    """Return the pages of a replica that reads."""
    told = dict.fromkeys(PAGES, lambda _query: text_page(f"{progress.reason()}\n", UNAVAILABLE))
    return {"/healthz": lambda _query: text_page("ok\n"), **told}


@contextmanager
def resting_collector() -> Iterator[None]:
    """Keep the cyclic collector still: a million new objects without one cycle would have it look at all of them again and again."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()
