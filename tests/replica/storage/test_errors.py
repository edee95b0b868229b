from __future__ import annotations

import errno
import os

import pytest

from replica.storage.errors import (
    CorruptFacts,
    CorruptLog,
    CorruptSnapshot,
    DiskFailed,
    FolderLocked,
    ForeignFolder,
    StateDiverged,
    StorageError,
    disk_errors,
)

ERRORS = [
    CorruptLog("folder/log-1", 512, "a batch is wrong"),
    CorruptSnapshot("folder/snapshot-1", 7, "a chunk is wrong"),
    CorruptFacts("folder/FACTS", 0, "altered"),
    ForeignFolder("folder/IDENTITY", "replica 1", "replica 2", "give it another"),
    FolderLocked("folder", 17),
    FolderLocked("folder", 0),
    StateDiverged("folder", "its state at position 64 is not that of the majority"),
    DiskFailed("folder/log-1", "No space left on device"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_message_is_one_line_that_names_the_file_and_says_what_to_do(error: StorageError) -> None:
    text = str(error)
    assert text.startswith("folder")
    assert "\n" not in text
    assert "; " in text


def test_an_error_of_the_system_keeps_its_words() -> None:
    with pytest.raises(DiskFailed, match=r"^folder/x: No space left on device; ") as caught, disk_errors("folder/x"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a path that is said already")
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(DiskFailed, match="TimeoutError"), disk_errors("folder/x"):
        raise TimeoutError
