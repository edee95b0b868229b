"""``triskele cas``: sets the value of a key if it is still the expected one; status 1 if it is not. Always strong."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from triskele.cli.arguments import BYTES_HELP, add_store_arguments, bytes_brief, bytes_json, bytes_type, whole

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

    from triskele.client import Store

EXAMPLES = (
    "triskele cas lock mine --absent              # only if the key has no value",
    "triskele cas counter 8 --expected 7          # only if the value is 7",
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare flags and arguments."""
    parser.add_argument("key", metavar="KEY", type=bytes_type, help=BYTES_HELP)
    parser.add_argument("value", metavar="VALUE", type=bytes_type, help="the new value, as KEY")
    condition = parser.add_mutually_exclusive_group(required=True)
    condition.add_argument("--expected", metavar="VALUE", type=bytes_type, help="the value it must have, as KEY")
    condition.add_argument("--version", metavar="N", type=whole(0, (1 << 63) - 1), help="the version it must have (get -o json tells; 0: no value)")
    condition.add_argument("--absent", action="store_true", help="it must have no value")
    add_store_arguments(parser, consistency=False)


def run(arguments: Namespace) -> int:
    """Run the command."""
    from triskele.cli.store import on_store

    async def cas(store: Store) -> bool:
        if arguments.version is not None:
            return await store.cas(arguments.key, arguments.value, version=arguments.version)
        return await store.cas(arguments.key, arguments.value, expected=arguments.expected)

    swapped = on_store(arguments, f"cas {bytes_brief(arguments.key)}", cas)
    if arguments.output == "json":
        print(json.dumps({"key": bytes_json(arguments.key), "swapped": swapped}))
    else:
        print("swapped" if swapped else "not swapped: the key has another value")
    return 0 if swapped else 1
