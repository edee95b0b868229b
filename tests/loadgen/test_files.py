"""Files of a run are looked at before it, and written one by one after it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from loadgen.files import check_files, check_writable, write_or_tell
from replica.config import SettingError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_file_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("kept")
    for name in ("old", "new"):
        check_writable("--json", str(tmp_path / name))
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("old", "kept")]


@pytest.mark.parametrize(
    ("name", "why"),
    [("", "Is a directory"), ("none/file", "No such file or directory"), ("old/file", "Not a directory"), ("x" * 300, "File name too long")],
)
def test_one_that_cannot_be_is_named_with_the_reason(name: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("kept")
    with pytest.raises(SettingError, match=f"^--json .*: cannot be written: {why}$"):
        check_writable("--json", str(tmp_path / name))


def test_a_pipe_is_not_opened_before_its_time(tmp_path: Path) -> None:
    """Its reader would see the end of it."""
    os.mkfifo(tmp_path / "pipe")
    check_writable("--json", str(tmp_path / "pipe"))


def test_two_reports_in_one_file_are_refused_whatever_it_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingError, match=r"^--json \./f: is the file of --history too: one would overwrite the other$"):
        check_files({"--history": "f", "--json": "./f", "--csv": ""})
    check_files({"--history": "f", "--json": "g", "--html": "/dev/null", "--csv": "/dev/null"})


def test_what_goes_wrong_while_writing_is_a_line(tmp_path: Path) -> None:
    assert write_or_tell("--json", tmp_path / "f", lambda: (tmp_path / "f").write_text("x")) == []
    assert write_or_tell("--json", tmp_path, lambda: tmp_path.write_text("x")) == [f"--json {tmp_path}: could not be written: Is a directory"]
