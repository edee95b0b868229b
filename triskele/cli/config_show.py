"""``triskele config show``: every setting, its value, and where that was written."""

from __future__ import annotations

import json
import os
import sys
from typing import TYPE_CHECKING

from replica.config import SETTINGS, VARIABLE_PREFIX, add_settings_flags, settings_from
from triskele.cli.arguments import CLUSTER_VARIABLE, add_output_argument

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace

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
    for name in sorted(os.environ):
        if name.startswith(VARIABLE_PREFIX) and name not in known_variables():
            print(f"{name} in the environment names no setting", file=sys.stderr)
    rows = [(name, getattr(settings, name), settings.origin(name)) for name in SETTINGS]
    if arguments.output == "json":
        print(json.dumps({name: {"value": value, "origin": origin} for name, value, origin in rows}, indent=1))
        return 0
    cells = [("setting", "value", "origin"), *((name, _text(value), origin) for name, value, origin in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(2)]
    for name, value, origin in cells:
        print(f"{name:<{widths[0]}}  {value:<{widths[1]}}  {origin}")
    return 0


def known_variables() -> set[str]:
    """Return the environment variables that mean something."""
    return {setting.variable for setting in SETTINGS.values()} | {CLUSTER_VARIABLE}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if value != "" else "-"
