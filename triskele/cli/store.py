"""Runs one command on keys against a cluster: connect, do, close, within the time; failures become one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import trio

from replica.cluster_file import parse_cluster
from replica.config import SettingError
from triskele.cli.framework import CommandFailed, only_error
from triskele.client import Consistency, Refused, Unavailable, Unknown, connect

if TYPE_CHECKING:
    from argparse import Namespace
    from collections.abc import Awaitable, Callable

    from triskele.client import Store

__all__ = ["Consistency", "on_store"]

T = TypeVar("T")

_GRACE_SECONDS = 1.0
"""The client keeps the time itself; this is for what it may not notice."""


def on_store(arguments: Namespace, what: str, command: Callable[[Store], Awaitable[T]]) -> T:
    """Run a command on a store of its own.

    Args:
        arguments: With ``cluster`` and ``timeout``.
        what: The command in the user's words, for errors: ``put greeting``.
        command: Takes the store.

    Raises:
        SettingError: ``--cluster`` is wrong.
        CommandFailed: The cluster is out of reach, refuses, or the outcome is not known.
    """
    cluster = parse_cluster(arguments.cluster)
    addresses = cluster.addresses() or cluster.addresses("websocket")
    if not addresses:
        raise SettingError("--cluster", arguments.cluster, "has no address for clients")

    async def use() -> T:
        with trio.fail_after(arguments.timeout + _GRACE_SECONDS):
            async with connect(",".join(addresses), timeout=arguments.timeout) as store:
                return await command(store)

    try:
        return trio.run(use)
    except Exception as error:
        match only_error(error):
            case Unknown() as unknown:
                raise CommandFailed(f"{what}: its outcome is not known: {unknown}") from None
            case Refused() as refused:
                raise CommandFailed(f"{what}: refused: {refused}") from None
            case Unavailable() as unavailable:
                raise CommandFailed(f"{what}: unavailable: {unavailable}") from None
            case trio.TooSlowError():
                raise CommandFailed(f"{what}: no answer within {arguments.timeout:g} s; its outcome is not known") from None
            case _:
                raise
