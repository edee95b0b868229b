"""A profile's folder: writes the reports and every process's samples, reads the result back to compare it."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

from loadgen.files import write_or_tell
from replica.config import SettingError
from replica.profiling import pprof
from replica.profiling.pages import gzipped
from replica.profiling.text_formats import collapsed_pieces, speedscope_pieces
from triskele.profile.document import Flame, Heading, markdown
from triskele.profile.flame import flame_tree
from triskele.profile.page import page
from triskele.profile.sections import sections, title

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from replica.profiling.recording import Recording

SCHEMA = "triskele.profile/1"
RESULT = "profile.json"
Result = dict[str, Any]


def check_folder(folder: Path, written: str) -> None:
    """Make the folder of a profile, before anything is measured.

    Raises:
        SettingError: It cannot be made, or nothing can be written there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / RESULT
        with probe.open("a"):
            pass
        if not probe.stat().st_size:
            probe.unlink()
    except OSError as error:
        raise SettingError(written, folder, error.strerror or str(error)) from None


def write_folder(folder: Path, result: Result, recordings: Mapping[str, Recording], flames: Sequence[tuple[str, Recording]]) -> list[str]:
    """Write everything that can be written.

    Args:
        folder: exists.
        result: schema ``triskele.profile/1``.
        recordings: ``{file name without its ending: samples}``.
        flames: names and samples of the flame graphs.

    Returns:
        A line for each file that could not be written.
    """
    files: dict[str, bytes] = {}
    for name, recording in recordings.items():
        files[f"{name}.pprof"] = b"".join(gzipped(pprof.pieces(pprof.profile_of(recording, name))))
        files[f"{name}.speedscope.json"] = b"".join(speedscope_pieces(recording, name))
        files[f"{name}.collapsed"] = b"".join(collapsed_pieces(recording))
    files[RESULT] = json.dumps(result, indent=1).encode() + b"\n"
    blocks = sections(result)
    files["report.md"] = markdown(blocks).encode()
    graphs = [Flame(name, flame_tree(recording, name)) for name, recording in flames]
    after = next(number for number, block in enumerate(blocks) if isinstance(block, Heading) and "top functions" in block.text)
    with_graphs = [*blocks[:after], Heading("Flame graphs"), *graphs, *blocks[after:]]
    name = ", ".join(title(process) for process in result["processes"])
    files["report.html"] = page(f"Profile: {name}", with_graphs).encode()
    return [line for name, data in files.items() for line in write_or_tell("--output", folder / name, partial((folder / name).write_bytes, data))]


def read_folder(folder: Path, written: str) -> Result:
    """Read the result of a profile.

    Raises:
        SettingError: There is none.
    """
    try:
        told = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(written, folder, f"{RESULT}: {error.strerror}") from None
    except ValueError:
        told = None
    result: Result = told if isinstance(told, dict) else {}
    if result.get("schema") != SCHEMA:
        raise SettingError(written, folder, f"{RESULT} is no result of triskele profile (schema {SCHEMA})")
    return result
