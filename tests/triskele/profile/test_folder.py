from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING

import pytest

from replica.config import SettingError
from tests.replica.profiling.recorded import SMALL
from tests.replica.profiling.test_pprof import Read
from tests.triskele.profile.profiled import result
from triskele.profile.folder import check_folder, read_folder, write_folder

if TYPE_CHECKING:
    from pathlib import Path


def test_a_folder_holds_the_reports_and_every_process_s_samples(tmp_path: Path) -> None:
    check_folder(tmp_path / "new" / "folder", "--output")
    folder = tmp_path / "new" / "folder"
    write_folder(folder, result(), {"replica-0": SMALL, "client-0": SMALL}, [("replica-0 (leader)", SMALL)])
    samples = [f"{name}.{kind}" for name in ("client-0", "replica-0") for kind in ("collapsed", "pprof", "speedscope.json")]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*samples, "profile.json", "report.html", "report.md"])
    assert Read(gzip.decompress((folder / "replica-0.pprof").read_bytes())).samples
    assert json.loads((folder / "replica-0.speedscope.json").read_text())["name"] == "replica-0"
    page, text = (folder / "report.html").read_text(), (folder / "report.md").read_text()
    assert page.index("<h2>Flame graphs</h2>") < page.index("top functions by own time")
    assert "| network writes | 30.0% |" in text


def test_a_partial_profile_is_marked_in_both_reports_with_who_is_missing(tmp_path: Path) -> None:
    partial = result() | {"partial": True, "missing": {2: "http://127.0.0.1:1: Connection refused"}}
    assert write_folder(tmp_path, partial, {}, []) == []
    for name, strong in (("report.md", "**Partial**"), ("report.html", "<strong>Partial</strong>")):
        text = (tmp_path / name).read_text()
        assert "Profile (PARTIAL)" in text
        assert strong in text
        assert text.index("replica 2: http://127.0.0.1:1: Connection refused") < text.index("Summary")
    write_folder(tmp_path, result(), {}, [])
    assert "partial" not in (tmp_path / "report.md").read_text().lower()


def test_a_file_that_cannot_be_written_is_a_line_and_costs_no_other(tmp_path: Path) -> None:
    (tmp_path / "profile.json").symlink_to("/dev/full")
    assert write_folder(tmp_path, result(), {}, []) == [f"--output {tmp_path / 'profile.json'}: could not be written: No space left on device"]
    assert (tmp_path / "report.html").exists()


def test_a_result_is_read_back(tmp_path: Path) -> None:
    write_folder(tmp_path, result(), {}, [])
    assert read_folder(tmp_path, "--compare") == json.loads(json.dumps(result()))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file"),
        ("no json", "is no result of triskele profile"),
        ("[1]", "is no result"),
        ('{"schema": "triskele.load/1"}', "is no result"),
    ],
)
def test_what_is_no_profile_is_refused_by_its_folder(content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "profile.json").write_text(content)
    with pytest.raises(SettingError, match=message):
        read_folder(tmp_path, "--compare")


def test_a_folder_that_cannot_be_made_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingError, match="--output"):
        check_folder(tmp_path / "file" / "below", "--output")


def test_checking_a_folder_leaves_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "profile.json").write_text("{}")
    check_folder(tmp_path, "--output")
    assert (tmp_path / "profile.json").read_text() == "{}"
