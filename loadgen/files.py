"""The files that a run leaves: whether they can be written is seen before it, and one that cannot be written after it costs no other result."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from replica.config import SettingError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def check_files(files: Mapping[str, str]) -> None:
    """Refuse what cannot be written, or would overwrite another.

    Args:
        files: ``{the setting as the user wrote it: the file}``; empty: not wanted.

    Raises:
        SettingError: One cannot be written, or two are the same.
    """
    seen: dict[Path, str] = {}
    for what, text in files.items():
        if not text:
            continue
        check_writable(what, text)
        file = Path(text).resolve()
        if file in seen and (file.is_file() or not file.exists()):
            raise SettingError(what, text, f"is the file of {seen[file]} too: one would overwrite the other")
        seen[file] = what


def check_writable(what: str, text: str) -> None:
    """Refuse a file that cannot be written.

    Raises:
        SettingError: It cannot be; its folder is missing, say, or it is a folder.
    """
    file = Path(text)
    try:
        if file.exists() and not file.is_file() and not file.is_dir():  # a device; opening a pipe would let its reader see the end
            writable = os.access(file, os.W_OK)
        else:
            new = not file.exists()
            with file.open("ab"):
                writable = True
            if new:
                file.unlink()
    except OSError as error:
        raise SettingError(what, text, f"cannot be written: {error.strerror or error}") from None
    if not writable:
        raise SettingError(what, text, "cannot be written")


def write_or_tell(what: str, file: str | Path, write: Callable[[], object]) -> list[str]:
    """Write a file, or return the one line that says why it is not whole.

    Args:
        what: The setting that names it, as the user wrote it.
        file: Where.
        write: Does it.
    """
    try:
        write()
    except OSError as error:
        return [f"{what} {file}: could not be written: {error.strerror or error}"]
    return []
