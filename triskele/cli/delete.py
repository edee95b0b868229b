"""``triskele delete``: removes a key; silent when done, whether it had a value or not."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from triskele.cli.arguments import BYTES_HELP, add_store_arguments, bytes_brief, bytes_json, bytes_type

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from triskele.client import Store

EXAMPLES = (
    "triskele delete greeting                         # linearizable",
    "triskele delete hex:00ff --consistency causal    # taken by the nearest replica",
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare flags and arguments."""
    parser.add_argument("key", metavar="KEY", type=bytes_type, help=BYTES_HELP)
    add_store_arguments(parser)


def run(arguments: Namespace) -> int:
    """Run the command."""
    from triskele.cli.store import Consistency, on_store

    async def delete(store: Store) -> None:
        await store.delete(arguments.key, consistency=Consistency(arguments.consistency))
        await store.flush()  # as in put

    on_store(arguments, f"delete {bytes_brief(arguments.key)}", delete)
    if arguments.output == "json":
        print(json.dumps({"key": bytes_json(arguments.key), "done": True}))
    return 0
