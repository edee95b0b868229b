"""Standard output that cannot be written: one line and status 1, whatever the command."""

from __future__ import annotations

import io
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from triskele.child import child_environment
from triskele.cli.output import Output, OutputFailed, checked_output


def run(command: str) -> tuple[int, str]:
    line = command.replace("triskele", f"{shlex.quote(sys.executable)} -m triskele")
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, env=child_environment(), check=False)
    return done.returncode, done.stderr


@pytest.mark.parametrize("words", ["--help", "status --help", "config show", "config show -o json", "check --help"])
def test_a_full_disk_is_one_line_and_status_1(words: str) -> None:
    assert run(f"triskele {words} > /dev/full") == (1, "triskele: standard output: No space left on device\n")


def test_a_closed_output_is_what_its_caller_wanted() -> None:
    assert run("triskele config show >&-") == (0, "")


def test_a_reader_that_has_gone_is_nobody_to_tell() -> None:
    assert run("(sleep 0.1; triskele config show; echo $? >&2) | true") == (0, "1\n")


def test_text_and_bytes_go_through_and_other_things_are_the_stream_s(monkeypatch: pytest.MonkeyPatch) -> None:
    below = io.BytesIO()
    stream = io.TextIOWrapper(below, encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", stream)
    with checked_output():
        sys.stdout.write("text\n")
        sys.stdout.flush()
        sys.stdout.buffer.write(b"bytes\n")
        assert sys.stdout.encoding == "utf-8"
    assert sys.stdout is stream
    assert below.getvalue() == b"text\nbytes\n"


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_letters_that_the_output_does_not_have_are_told_by_their_numbers(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    below = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(below, encoding=encoding))
    with checked_output():
        sys.stdout.write("a file \udcff: \u2026")
    assert below.getvalue() == f"a file \\udcff: {chr(0x2026) if encoding == 'utf-8' else chr(92) + 'u2026'}".encode()


def test_an_error_of_the_command_is_not_covered_by_one_of_its_output(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(KeyError, match="of the command"), checked_output():
            sys.stdout.write("lost\n")
            raise KeyError("of the command")


def test_errors_are_told_where_they_happen() -> None:
    with Path("/dev/full").open("wb", buffering=0) as full, pytest.raises(OutputFailed, match=r"^standard output: No space left on device$"):
        Output(full).write(b"x")
