"""``triskele get``: prints the value of a key; a key that has none prints nothing and ends with status 1."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from triskele.cli.arguments import BYTES_HELP, add_store_arguments, bytes_brief, bytes_json, bytes_type

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from triskele.client import Store

EXAMPLES = (
    "triskele get greeting                                # the value, then a new line",
    "triskele get hex:00ff --consistency causal -o json   # from the nearest replica, with its version",
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare flags and arguments."""
    parser.add_argument("key", metavar="KEY", type=bytes_type, help=BYTES_HELP)
    add_store_arguments(parser)
    parser.add_argument("-r", "--raw", action="store_true", help="print the value's bytes and nothing else")


def run(arguments: Namespace) -> int:
    """Run the command."""
    from triskele.cli.store import Consistency, on_store

    async def get(store: Store) -> tuple[bytes | None, int]:
        return await store.get(arguments.key, consistency=Consistency(arguments.consistency), with_version=True)

    value, version = on_store(arguments, f"get {bytes_brief(arguments.key)}", get)
    if value is None:
        return 1
    if arguments.output == "json":
        print(json.dumps({"key": bytes_json(arguments.key), "value": bytes_json(value), "version": version}))
    else:
        sys.stdout.buffer.write(value if arguments.raw else value + b"\n")
        sys.stdout.flush()
    return 0
