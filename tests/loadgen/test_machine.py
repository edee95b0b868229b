"""What a result was measured on."""

from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING

from loadgen import machine as m

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_machine_is_described() -> None:
    found = m.machine()
    assert found["cores"] == m.cores() >= 1
    assert isinstance(found["memory_bytes"], int)
    assert found["memory_bytes"] > 1 << 28
    assert "Python" in str(found["python"])


def test_the_commit_is_told_where_there_is_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = m.commit()
    if (m.ROOT / ".git").exists():
        head = subprocess.run(["git", "-C", str(m.ROOT), "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
        assert found is not None
        assert re.fullmatch(r"[0-9a-f]{12}\+?", found)
        assert head.startswith(found.rstrip("+"))
    monkeypatch.setattr(m, "ROOT", tmp_path)
    assert m.commit() is None
    (tmp_path / ".git").mkdir()
    assert m.commit() is None


def test_a_missing_file_has_no_fields(tmp_path: Path) -> None:
    assert m._field(str(tmp_path / "none"), "model name") == ""
    (tmp_path / "info").write_text("model name\t: A\nmodel name\t: B\n")
    assert m._field(str(tmp_path / "info"), "model name") == "A"
    assert m._field(str(tmp_path / "info"), "other") == ""


def test_a_version_is_always_told() -> None:
    assert m.package_version()
