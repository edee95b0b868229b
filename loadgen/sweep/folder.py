"""The folder of a sweep: which sweep it is of, the result of each run, and what is known of runs that failed.

``sweep.json`` is the sweep itself, ``runs/N-NAME-REPEAT.json`` a result exactly as ``triskele load --json`` wrote it,
``runs/N-NAME-REPEAT.failed`` tells why that run failed (it may have a result all the same: some commands failed). Either file means that the run is
done; remove both and ``--resume`` runs it again. A result gets its name when it is whole, so an interrupted sweep leaves none that is half written.
"""

from __future__ import annotations

import fcntl
import json
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, Final

import attrs

from loadgen.report import SCHEMA as LOAD_SCHEMA
from replica.config import SettingError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from loadgen.sweep.plan import Plan, Run

SCHEMA: Final = "triskele.sweep-plan/1"
PLAN: Final = "sweep.json"


@attrs.frozen
class Outcome:
    """What became of a run.

    Attributes:
        run: Which.
        result: Of the load; None if it wrote none.
        failure: Why it failed, in words; empty if it did not.
    """

    run: Run
    result: dict[str, Any] | None
    failure: str = ""


@attrs.frozen
class Folder:
    """An open folder of a sweep.

    Attributes:
        path: Where.
        started: When the sweep began, ISO 8601 in UTC.
    """

    path: Path
    started: str

    @property
    def running(self) -> Path:
        """Where the run that is going on writes its result; what it says is beside it (``running.log``)."""
        return self.path / "running.json"

    @property
    def said(self) -> Path:
        """Where the run that is going on writes what it has to say."""
        return self.path / "running.log"

    def result_file(self, run: Run) -> Path:
        """Return where a run's result is."""
        return self.path / "runs" / run.file

    def keep(self, run: Run, failure: str) -> Outcome:
        """Take in what a run that is over has written; a failure is told in words."""
        result = read_result(self.running)
        if failure:
            self._failure_file(run).write_text(json.dumps({"failure": failure}) + "\n", encoding="utf-8")
        if result is not None:
            self.running.replace(self.result_file(run))
        return Outcome(run, result, failure)

    def clear(self) -> None:
        """Remove what a run that was interrupted has left."""
        self.running.unlink(missing_ok=True)
        self.said.unlink(missing_ok=True)

    def outcome(self, run: Run) -> Outcome | None:
        """Return what became of a run; None if it is still to be done."""
        result = read_result(self.result_file(run))
        try:
            failure = str(json.loads(self._failure_file(run).read_text(encoding="utf-8"))["failure"])
        except (OSError, ValueError, KeyError, TypeError):
            failure = ""
        return Outcome(run, result, failure) if result is not None or failure else None

    def finished(self) -> str:
        """Return when the last run ended, ISO 8601 in UTC; when the sweep began if none has."""
        times = [file.stat().st_mtime for file in (self.path / "runs").iterdir()]
        return _written(datetime.fromtimestamp(max(times), UTC)) if times else self.started

    def outcomes(self, plan: Plan) -> list[Outcome]:
        """Return what became of all runs that are done, in their order."""
        return [outcome for run in plan.runs() if (outcome := self.outcome(run)) is not None]

    def _failure_file(self, run: Run) -> Path:
        return self.result_file(run).with_suffix(".failed")


def read_result(file: Path) -> dict[str, Any] | None:
    """Return a result of ``triskele load``; None if there is none, or not a whole one."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("schema") == LOAD_SCHEMA else None


@contextmanager
def open_folder(path: Path, plan: Plan, *, resume: bool) -> Iterator[Folder]:
    """Open the folder of a sweep for the length of the block, alone; make it if need be.

    Raises:
        SettingError: It cannot be written, is another sweep's or of something else, has runs and ``resume`` is not given, or another
            process runs this sweep.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        began = any(path.iterdir())
        started = _check(path, plan, resume=resume) if began else now()
        (path / "runs").mkdir(exist_ok=True)
        lock = (path / PLAN).open("a+", encoding="utf-8")
    except OSError as error:
        raise _unwritable(path, error) from None
    with lock:
        _lock(lock, path)
        folder = Folder(path, started)
        try:
            if not began:
                lock.write(json.dumps({"schema": SCHEMA, "started": started, **_identity(plan)}, indent=1) + "\n")
                lock.flush()
            folder.clear()
        except OSError as error:
            raise _unwritable(path, error) from None
        yield folder


def _unwritable(path: Path, error: OSError) -> SettingError:
    return SettingError("--output", path, f"cannot be written: {error.strerror or error}")


def now() -> str:
    """Return the time, ISO 8601 in UTC."""
    return _written(datetime.now(UTC))


def _written(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def _identity(plan: Plan) -> dict[str, Any]:
    """Return what makes two sweeps the same."""
    return {"name": plan.name, "changes": plan.changes.words(), "text": plan.text}


def _check(path: Path, plan: Plan, *, resume: bool) -> str:
    """Return when the sweep in a folder began, if it is this one and may go on."""
    try:
        found = json.loads((path / PLAN).read_text(encoding="utf-8"))
        was = {name: found[name] for name in ("schema", "name", "changes", "text", "started")}
    except (OSError, ValueError, KeyError, TypeError):
        raise SettingError("--output", path, "is not empty, and is no folder of a sweep") from None
    if was["text"] != plan.text:
        what = "another sweep" if was["name"] != plan.name else "another version of its file"
        raise SettingError("--output", path, f"holds runs of {was['name']}, {what}: name another folder")
    if was["changes"] != plan.changes.words():
        raise SettingError(
            "--output", path, f"began with {was['changes'] or 'neither --repeats nor --seconds'}: say the same, or name another folder"
        )
    if not resume:
        done, every = len(Folder(path, "").outcomes(plan)), len(plan.runs())
        raise SettingError("--output", path, f"holds {done} of the {every} runs of this sweep: --resume goes on, another folder begins anew")
    return str(was["started"])


def _lock(lock: IO[str], path: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SettingError("--output", path, "another process runs this sweep") from None
