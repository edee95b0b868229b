"""``triskele config show``: every setting of a replica, its value, and where that was written; and what is written for other commands."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from replica.config import SETTINGS, add_settings_flags, read_toml, settings_from
from triskele.cli.arguments import add_output_argument
from triskele.cli.framework import all_keys
from triskele.cli.values import PREFIX

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator, Mapping

EXAMPLES = (
    "triskele config show --config triskele.toml    # what a replica would use, and where from",
    "triskele config show --mode ht -o json         # for programs",
)


def add_arguments(parser: ArgumentParser) -> None:
    """Declare flags and arguments."""
    add_output_argument(parser)
    add_settings_flags(parser)


def run(arguments: Namespace) -> int:
    """Run the command."""
    settings = settings_from(arguments, os.environ)
    rows: list[tuple[str, object, str]] = [(name, getattr(settings, name), settings.origin(name)) for name in SETTINGS]
    rows += of_other_commands(os.environ, arguments.config)
    if arguments.output == "json":
        print(json.dumps({name: {"value": value, "origin": origin} for name, value, origin in rows}, indent=1))
        return 0
    cells = [("setting", "value", "origin"), *((name, _text(value), origin) for name, value, origin in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(2)]
    for name, value, origin in cells:
        print(f"{name:<{widths[0]}}  {value:<{widths[1]}}  {origin}")
    return 0


def of_other_commands(environment: Mapping[str, str], file: str | None) -> Iterator[tuple[str, object, str]]:
    """Yield name, value as written and origin of what the environment and the file say that is no setting of a replica."""
    table = read_toml(Path(file), "--config") if file else {}
    if not {name for name in environment if name.startswith(PREFIX)} | set(table):
        return
    for key in sorted(all_keys() - set(SETTINGS)):
        variable = PREFIX + key.upper()
        if variable in environment:
            yield key, environment[variable], variable
        elif key in table:
            yield key, table[key], str(file)


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if value != "" else "-"
