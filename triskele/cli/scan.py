"""``triskele scan``: prints a range of keys with their values, in the order of their bytes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from triskele.cli.arguments import BYTES_HELP, add_store_arguments, bytes_brief, bytes_json, bytes_text, bytes_type, whole

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from triskele.client import Store

LIMIT = 100

EXAMPLES = (
    "triskele scan user/ user0 --limit 20     # keys from user/ up to, not with, user0 (0 follows /)",
    "triskele scan '' -o json                 # the first 100 keys",
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare flags and arguments."""
    parser.add_argument("start", metavar="START", type=bytes_type, help=f"first key; {BYTES_HELP}")
    parser.add_argument("end", metavar="END", nargs="?", type=bytes_type, help="the key to stop before (default: after the last)")
    parser.add_argument("--limit", metavar="N", type=whole(1, 1_000_000), default=LIMIT, help=f"most keys to print (default {LIMIT})")
    add_store_arguments(parser)


def run(arguments: Namespace) -> int:
    """Run the command."""
    from triskele.cli.store import Consistency, on_store

    async def scan(store: Store) -> list[tuple[bytes, bytes]]:
        return await store.scan(arguments.start, arguments.end, arguments.limit, consistency=Consistency(arguments.consistency))

    rows = on_store(arguments, f"scan {bytes_brief(arguments.start)}", scan)
    if arguments.output == "json":
        print(json.dumps([{"key": bytes_json(key), "value": bytes_json(value)} for key, value in rows]))
    else:
        for key, value in rows:
            print(f"{bytes_text(key)}\t{bytes_text(value)}")
    return 0
