"""Reads a history file, whichever of the three formats it has."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Final

from loadgen.checkers.collector import collector_paused
from loadgen.checkers.jepsen import read_edn, read_log
from loadgen.checkers.operation import History, Unreadable
from loadgen.checkers.pairing import Pairing

if TYPE_CHECKING:
    from pathlib import Path

FORMATS: Final = ("jsonl", "edn", "jepsen-log")
"""Ours (``loadgen.history``), Jepsen's EDN, Jepsen's text log."""

_SUFFIXES: Final = {".jsonl": "jsonl", ".json": "jsonl", ".edn": "edn", ".log": "jepsen-log"}
_LOOK_BYTES: Final = 256


def format_of(file: Path) -> str:
    """Return the format that a file's name says, or its first bytes where the name says none; ours in doubt."""
    if file.suffix in _SUFFIXES:
        return _SUFFIXES[file.suffix]
    try:
        with file.open("rb") as opened:
            start = opened.read(_LOOK_BYTES).lstrip()
    except OSError:
        return "jsonl"  # whoever reads it will say why it cannot be read
    if re.match(rb"\[?\s*\{\s*:", start):
        return "edn"
    return "jepsen-log" if b"jepsen." in start and not start.startswith(b"{") else "jsonl"


def read(file: Path, form: str) -> History:
    """Read a history.

    Args:
        file: where it is.
        form: one of ``FORMATS``.

    Raises:
        Unreadable: the file cannot be read, is not of this format, holds nothing, or tells what cannot be.
    """
    try:
        with collector_paused():
            if form == "jsonl":
                history = _read_jsonl(file)
            else:
                text = _text(file.read_bytes())
                history = read_edn(text) if form == "edn" else read_log(text)
    except OSError as error:
        raise Unreadable(0, error.strerror or str(error)) from None
    if not history.operations:
        raise Unreadable(0, "no operation in it: nothing to check")
    return history


def _read_jsonl(file: Path) -> History:
    pairing = Pairing()
    with file.open("rb") as lines:
        for number, data in enumerate(lines, 1):
            line = _text(data, number)
            if not line.strip():
                continue
            try:
                event = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise Unreadable(number, f"no JSON: {error}") from None
            if not isinstance(event, dict):
                raise Unreadable(number, f"{line.strip()!r:.60} is no JSON object")
            pairing.take(event, number)
    return pairing.history()


def _text(data: bytes, line: int = 1) -> str:
    """Decode bytes that begin with this line.

    Raises:
        Unreadable: a line is not UTF-8; bytes are counted from 1.
    """
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        at, begin = error.start, data.rfind(b"\n", 0, error.start) + 1
        raise Unreadable(line + data.count(b"\n", 0, at), f"not UTF-8 at byte {at - begin + 1} of the line") from None
