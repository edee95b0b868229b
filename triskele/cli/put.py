"""``triskele put``: sets the value of a key; silent when done."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from triskele.cli.arguments import BYTES_HELP, add_store_arguments, bytes_brief, bytes_json, bytes_type

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from triskele.client import Store

EXAMPLES = (
    "triskele put greeting hello                 # text",
    "triskele put photo @cat.jpg --timeout 20    # a file's content, up to 1 MiB",
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare flags and arguments."""
    parser.add_argument("key", metavar="KEY", type=bytes_type, help=BYTES_HELP)
    parser.add_argument("value", metavar="VALUE", type=bytes_type, help="as KEY")
    add_store_arguments(parser)


def run(arguments: Namespace) -> int:
    """Run the command."""
    from triskele.cli.store import Consistency, on_store

    async def put(store: Store) -> None:
        await store.put(arguments.key, arguments.value, consistency=Consistency(arguments.consistency))
        await store.flush()  # a causal write is safe from its home's failure while its session lives, and this one ends here

    on_store(arguments, f"put {bytes_brief(arguments.key)}", put)
    if arguments.output == "json":
        print(json.dumps({"key": bytes_json(arguments.key), "done": True}))
    return 0
