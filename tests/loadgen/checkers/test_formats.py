from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from loadgen.checkers.formats import format_of, read
from loadgen.checkers.operation import Unreadable

if TYPE_CHECKING:
    from pathlib import Path

JSON = '{"type": "invoke", "process": 1, "id": 0, "op": "get", "key": "x"}\n'
EDN = '{:process 0, :type :invoke, :f :get, :key "x"}\n'
LOG = "INFO  jepsen.util - 0\t:invoke\t:read\tnil\n"


@pytest.mark.parametrize(
    ("name", "text", "form"),
    [
        ("h.jsonl", EDN, "jsonl"), ("h.edn", JSON, "edn"), ("h.log", JSON, "jepsen-log"),
        ("h.txt", EDN, "edn"), ("h.txt", f"[{EDN}]", "edn"), ("h", LOG, "jepsen-log"), ("h", JSON, "jsonl"), ("h", "?", "jsonl"),
    ],
)  # fmt: skip
def test_a_file_s_name_says_its_format_else_its_first_bytes(tmp_path: Path, name: str, text: str, form: str) -> None:
    (tmp_path / name).write_text(text)
    assert format_of(tmp_path / name) == form


def test_each_format_is_read(tmp_path: Path) -> None:
    for form, text in (("jsonl", JSON + "\n"), ("edn", EDN), ("jepsen-log", LOG)):
        (tmp_path / "h").write_text(text)
        assert [operation.kind for operation in read(tmp_path / "h", form).operations] == ["get"]


@pytest.mark.parametrize(
    ("content", "line", "why"),
    [
        (JSON.encode() + b"{", 2, "no JSON"), (b"[1]", 1, "no JSON object"), (b"\n\n", 0, "nothing to check"), (b"\xff", 1, "not UTF-8 at byte 1"),
    ],
)  # fmt: skip
def test_what_is_no_history_is_unreadable(tmp_path: Path, content: bytes, line: int, why: str) -> None:
    (tmp_path / "h").write_bytes(content)
    with pytest.raises(Unreadable, match=why) as refused:
        read(tmp_path / "h", "jsonl")
    assert refused.value.line == line


@pytest.mark.parametrize(("form", "text"), [("jsonl", JSON), ("edn", EDN), ("jepsen-log", LOG)])
@pytest.mark.parametrize("before", [1, 500])
def test_a_byte_that_is_not_utf_8_is_told_with_its_line(tmp_path: Path, form: str, text: str, before: int) -> None:
    (tmp_path / "h").write_bytes(text.encode() + b"\n" * before + b"  \xc3(\n" + text.encode())
    with pytest.raises(Unreadable, match=rf"^line {before + 2}: not UTF-8 at byte 3 of the line$"):
        read(tmp_path / "h", form)


def test_a_file_that_is_not_there_is_unreadable(tmp_path: Path) -> None:
    assert format_of(tmp_path / "none") == "jsonl"
    with pytest.raises(Unreadable, match="No such file"):
        read(tmp_path / "none", "jsonl")
