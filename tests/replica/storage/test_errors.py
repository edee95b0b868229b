from __future__ import annotations

import errno
import os

import pytest

from replica.storage.errors import (
    CorruptFacts,
    CorruptLog,
    CorruptSnapshot,
    DiskFailed,
    DiskFull,
    FolderLocked,
    ForeignFolder,
    StateDiverged,
    StateForgotten,
    StorageError,
    disk_errors,
    disk_failed,
)

ERRORS = [
    CorruptLog("folder/log-1", 512, "a batch is wrong"),
    CorruptSnapshot("folder/snapshot-1", 7, "a chunk is wrong"),
    CorruptFacts("folder/FACTS", 0, "altered"),
    ForeignFolder("folder/IDENTITY", "replica 1", "replica 2", "give it another"),
    FolderLocked("folder", 17),
    FolderLocked("folder", 0),
    StateDiverged("folder", "its state at position 64 is not that of the majority"),
    StateForgotten("folder", 2, "replica 0 knew it with another folder"),
    DiskFailed("folder/log-1", "No space left on device"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_message_is_one_line_that_names_the_file_and_says_what_to_do(error: StorageError) -> None:
    text = str(error)
    assert text.startswith("folder")
    assert "\n" not in text
    assert "; " in text


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_nobody_is_told_to_start_again_with_an_empty_folder_under_the_same_id(error: StorageError) -> None:
    """The others would refuse it; and one that nobody refused could vote twice."""
    advice = str(error).rpartition("; ")[2]
    assert "empty" not in advice or "under a new id" in advice


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_folder_that_is_refused_is_wrong_usage_and_a_disk_that_fails_is_a_failure(error: StorageError) -> None:
    assert error.exit_status == (1 if isinstance(error, DiskFailed) else 2)


def test_who_lost_its_folder_for_good_is_told_how_to_be_replaced() -> None:
    for error in (CorruptLog("f", 1, "w"), CorruptSnapshot("f", 1, "w"), CorruptFacts("f", 0, "w")):
        assert "triskele members replace ID NEWID ADDRESS" in str(error)
    assert "triskele members replace 2 NEWID ADDRESS" in str(StateForgotten("", 2, "w"))


def test_an_error_of_the_system_keeps_its_words() -> None:
    with pytest.raises(DiskFailed, match=r"^folder/x: No space left on device; ") as caught, disk_errors("folder/x"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a path that is said already")
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(DiskFailed, match="TimeoutError"), disk_errors("folder/x"):
        raise TimeoutError


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_file_that_found_no_room_is_told_from_a_disk_that_is_broken(number: int) -> None:
    error = OSError(number, os.strerror(number))
    failure = disk_failed("folder/x", error)
    assert isinstance(failure, DiskFull) == (number != errno.EIO)
    assert (failure.file, failure.why, failure.__cause__) == ("folder/x", os.strerror(number), error)
