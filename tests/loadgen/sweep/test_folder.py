"""A folder belongs to one sweep, and keeps what each run brought."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from loadgen.sweep.folder import open_folder, read_result
from replica.config import SettingError
from tests.loadgen.sweep.stand import TEXT, plan, result

if TYPE_CHECKING:
    from pathlib import Path


def test_results_and_failures_are_found_again(tmp_path: Path) -> None:
    swept = plan()
    first, second, third, *_ = swept.runs()
    with open_folder(tmp_path / "new" / "out", swept, resume=False) as folder:
        folder.running.write_text(json.dumps(result(5.0)))
        assert folder.keep(first, "").result is not None
        assert folder.keep(second, "ended with status 1: why").result is None
        folder.running.write_text(json.dumps(result(7.0)))
        folder.keep(third, "ended with status 1: 3 are unknown")
        assert not folder.running.exists()
        started = folder.started
    with open_folder(tmp_path / "new" / "out", swept, resume=True) as folder:
        assert folder.started == started
        found = folder.outcomes(swept)
        assert [(outcome.run, outcome.result is not None, outcome.failure) for outcome in found] == [
            (first, True, ""),
            (second, False, "ended with status 1: why"),
            (third, True, "ended with status 1: 3 are unknown"),
        ]


def test_what_is_half_written_is_no_result(tmp_path: Path) -> None:
    swept = plan()
    with open_folder(tmp_path / "out", swept, resume=False) as folder:
        folder.result_file(swept.runs()[0]).write_text('{"schema": "triskele.lo')
        assert folder.outcomes(swept) == []
        folder.running.write_text('{"schema": "another/1"}')
        assert read_result(folder.running) is None
    with open_folder(tmp_path / "out", swept, resume=True) as folder:
        assert not folder.running.exists()


@pytest.mark.parametrize(
    ("text", "repeats", "resume", "message"),
    [
        (TEXT, None, False, "holds 1 of the 8 runs of this sweep: --resume goes on, another folder begins anew"),
        (TEXT.replace("two by two", "other"), None, False, "holds runs of two by two, another sweep: name another folder"),
        (TEXT.replace("two by two", "other"), None, True, "holds runs of two by two, another sweep: name another folder"),
        (TEXT + "\n# changed", None, True, "holds runs of two by two, another version of its file: name another folder"),
        (TEXT, 3, True, "began with neither --repeats nor --seconds: say the same, or name another folder"),
    ],
)
def test_a_folder_of_another_sweep_is_refused(text: str, repeats: int | None, resume: bool, message: str, tmp_path: Path) -> None:
    swept = plan()
    with open_folder(tmp_path / "out", swept, resume=False) as folder:
        folder.keep(swept.runs()[0], "failed")
    with pytest.raises(SettingError) as error, open_folder(tmp_path / "out", plan(text, repeats=repeats), resume=resume):
        pass
    assert str(error.value) == f"--output {tmp_path / 'out'}: {message}"
    assert error.value.exit_status == 2


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    for resume in (False, True):
        with pytest.raises(SettingError, match="is not empty, and is no folder of a sweep"), open_folder(tmp_path, plan(), resume=resume):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(SettingError, match=r"^--output .*: cannot be written: ") as error, open_folder(path, plan(), resume=False):
            pass
        assert error.value.exit_status == 2


def test_two_processes_do_not_share_a_folder(tmp_path: Path) -> None:
    with (
        open_folder(tmp_path, plan(), resume=False),
        pytest.raises(SettingError, match="another process runs this sweep"),
        open_folder(tmp_path, plan(), resume=True),
    ):
        pass


def test_resuming_what_never_began_begins_it(tmp_path: Path) -> None:
    with open_folder(tmp_path / "out", plan(), resume=True) as folder:
        assert folder.outcomes(plan()) == []
        assert folder.finished() == folder.started


def test_a_sweep_finished_when_its_last_run_ended(tmp_path: Path) -> None:
    swept = plan()
    with open_folder(tmp_path / "out", swept, resume=False) as folder:
        for run, moment in zip(swept.runs(), (1_000_000_000, 1_000_003_600, 1_000_000_005), strict=False):
            folder.running.write_text(json.dumps(result()))
            folder.keep(run, "")
            os.utime(folder.result_file(run), (moment, moment))
        assert folder.finished() == "2001-09-09T02:46:40+00:00"
