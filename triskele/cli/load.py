"""``triskele load``: the load generator."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from triskele.cli.framework import CommandFailed

if TYPE_CHECKING:
    from argparse import ArgumentParser, Namespace
    from collections.abc import Iterator

EXAMPLES = (
    "triskele load --local 3 --seconds 15                          # a cluster of its own, stopped at the end",
    "triskele load --cluster ready.json --clients 2 --threads 8    # a cluster that runs",
)

EXTRA = frozenset({"numpy", "hdrh"})
"""Top-level packages that the ``load`` extra installs."""


@contextmanager
def needing_extra() -> Iterator[None]:
    """Name the extra when a package of it is missing.

    Raises:
        CommandFailed: One is.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in EXTRA:
            raise
        raise CommandFailed(f"load: needs {error.name}, which is not installed: pip install 'triskele[load]'") from None


def add_arguments(parser: ArgumentParser) -> None:
    """Declare flags and arguments."""
    with needing_extra():
        from loadgen.cli import add_arguments as add_load_arguments

        add_load_arguments(parser)


def run(arguments: Namespace) -> int:
    """Run the command."""
    with needing_extra():
        from loadgen.cli import run as run_load

        return run_load(arguments)
