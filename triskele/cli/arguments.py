"""Arguments that several commands share: whole numbers, seconds, keys and values as bytes, the cluster, the output."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from triskele.cli.framework import argument_type

if TYPE_CHECKING:
    from argparse import ArgumentParser
    from collections.abc import Callable

DEFAULT_CLUSTER = "127.0.0.1:7400,127.0.0.1:7401,127.0.0.1:7402"
"""Where ``triskele up`` puts three replicas."""

TIMEOUT_SECONDS = 5.0
_SECONDS_MAX = 1e9
_BRIEF_LETTERS = 60


def whole(least: int, most: int) -> Callable[[str], object]:
    """Return the type of a whole number from ``least`` to ``most``."""

    def read(text: str) -> int:
        number = int(text)
        if not least <= number <= most:
            raise ValueError
        return number

    return argument_type(read, f"must be a whole number from {least} to {most}")


def seconds(least: float = 0.0) -> Callable[[str], object]:
    """Return the type of a length of time in seconds above ``least``."""

    def read(text: str) -> float:
        number = float(text)
        if not least < number <= _SECONDS_MAX:
            raise ValueError
        return number

    return argument_type(read, f"must be a number of seconds above {least:g}")


def _read_path(text: str) -> Path:
    if not text:
        raise ValueError
    return Path(text)


path_type = argument_type(_read_path, "must be a path; an empty one would be the folder that you are in")
"""The type of a folder or file that is to be written."""


def address_type(text: str) -> str:
    """Read an address that others are to find somebody at; a type for argparse."""
    from argparse import ArgumentTypeError

    from replica.address import AddressError, address_to_find

    try:
        return address_to_find(text)
    except AddressError as error:
        raise ArgumentTypeError(f"{text}: {error}") from None


def read_bytes(text: str) -> bytes:
    """Read a key or value: ``hex:…`` in hexadecimal, ``@FILE`` a file's content (``@-``: standard input), ``text:…`` or anything else as it is.

    Raises:
        ValueError: Not hexadecimal, or the file cannot be read.
    """
    if text.startswith("hex:"):
        return bytes.fromhex(text.removeprefix("hex:"))
    if text == "@-":
        return sys.stdin.buffer.read()
    if text.startswith("@"):
        try:
            return Path(text[1:]).read_bytes()
        except OSError as error:
            raise ValueError from error
    return os.fsencode(text.removeprefix("text:"))


bytes_type = argument_type(read_bytes, "must be text, hex:HEXADECIMAL or @FILE of a file that can be read")

BYTES_HELP = "text, hex:HEXADECIMAL, @FILE or @- (standard input); text:… for text that looks like one of these"


def bytes_text(data: bytes) -> str:
    """Write a key or value so that ``read_bytes`` reads it back: as text where it is printable text."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return f"hex:{data.hex()}"
    if not text.isprintable():
        return f"hex:{data.hex()}"
    return f"text:{text}" if text.startswith(("hex:", "@", "text:")) else text


def bytes_brief(data: bytes) -> str:
    """Write a key or value for a message: cut where it is long, its length told."""
    text = bytes_text(data)
    return text if len(text) <= _BRIEF_LETTERS else f"{text[:_BRIEF_LETTERS]}… ({len(data):,} bytes)"


def bytes_json(data: bytes | None) -> str | dict[str, str] | None:
    """Return a key or value for JSON: text, ``{"hex": …}`` where it is no UTF-8, null where there is none."""
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return {"hex": data.hex()}


def add_cluster_argument(parser: ArgumentParser) -> None:
    """Add ``--cluster``."""
    parser.add_argument(
        "--cluster",
        metavar="ADDRESS,…|FILE",
        default=DEFAULT_CLUSTER,
        help=f"addresses, a ready file or a cluster TOML; or TRISKELE_CLUSTER (default {DEFAULT_CLUSTER})",
    )


def add_output_argument(parser: ArgumentParser) -> None:
    """Add ``-o text|json``."""
    parser.add_argument("-o", "--output", choices=("text", "json"), default="text", help="how to print the result (default text)")


def add_store_arguments(parser: ArgumentParser, *, consistency: bool = True) -> None:
    """Add what every command on keys has: the cluster, the time it may take, the output, the consistency."""
    add_cluster_argument(parser)
    parser.add_argument("--timeout", metavar="SECONDS", type=seconds(), default=TIMEOUT_SECONDS, help=f"give up after (default {TIMEOUT_SECONDS:g})")
    add_output_argument(parser)
    if consistency:
        parser.add_argument(
            "--consistency", choices=("strong", "causal"), default="strong", help="strong: linearizable (default); causal: from the nearest replica"
        )
