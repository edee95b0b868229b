"""A disk in memory that takes back whatever was not promised: unsynced sectors, unsynced names, and everything when told to fail.

``crash`` is the loss of power: of all writes since a file's last sync any subset of sectors reached the device, and of all names made, renamed
or removed since the folder's last sync any subset (or only the first ones) is known. ``kill`` is the end of the process alone: the system
keeps what it was given. After both, files that were open are not; the same disk is opened again by the next life.

A failed sync leaves what it should have written visible and clean, as Linux does: later syncs succeed and make none of it durable.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

    from replica.storage.disk import Buffer

SECTOR_BYTES = 512

Edit = tuple[str, str, "Content | None"]
"""A change of the folder: (name, name before or "", content; None: the name is gone)."""


@attrs.define(eq=False)
class Content:
    """What one file holds: in memory, on the device, and the writes between the two."""

    visible: bytearray = attrs.Factory(bytearray)
    durable: bytearray = attrs.Factory(bytearray)
    pending: list[tuple[int, bytes]] = attrs.Factory(list)

    def write(self, offset: int, data: bytes) -> None:
        put(self.visible, offset, data)
        self.pending.append((offset, data))

    def sync(self) -> None:
        for offset, data in self.pending:
            put(self.durable, offset, data)
        self.pending.clear()

    def lose(self, rng: Random) -> None:
        """Let any sectors of the pending writes reach the device, and forget the others."""
        for offset, data in self.pending:
            kept = rng.choice((0.0, 0.5, 0.9, 1.0))
            at = offset
            while at < offset + len(data):
                end = min(offset + len(data), (at // SECTOR_BYTES + 1) * SECTOR_BYTES)
                if rng.random() < kept:
                    put(self.durable, at, data[at - offset : end - offset])
                at = end
        self.pending.clear()


def put(content: bytearray, offset: int, data: bytes) -> None:
    """Write into a bytearray that grows where needed."""
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


class CrashingFile:
    """An open file of a ``CrashingDisk``."""

    def __init__(self, disk: CrashingDisk, content: Content, *, writable: bool) -> None:
        self._disk = disk
        self._content = content
        self._life = disk.life
        self._writable = writable
        self._closed = False
        disk.open_files += 1

    def read(self, offset: int, size_bytes: int) -> bytes:
        self._use("read")
        return bytes(self._content.visible[offset : offset + size_bytes])

    def write(self, offset: int, buffers: Sequence[Buffer]) -> None:
        assert self._writable
        data = b"".join(buffers)
        try:
            self._use("write")
        except OSError:
            if self._life == self._disk.life and not self._closed:
                self._content.write(offset, data[: len(data) // 2])
            raise
        self._content.write(offset, data)

    def sync(self) -> None:
        try:
            self._use("sync")
        except OSError:
            if self._life == self._disk.life and not self._closed:
                self._content.lose(self._disk.rng)
            raise
        self._content.sync()

    def settle(self) -> None:
        self.sync()
        self._content.visible = bytearray(self._content.durable)

    def size_bytes(self) -> int:
        self._use("read")
        return len(self._content.visible)

    def close(self) -> None:
        if not self._closed and self._life == self._disk.life:
            self._disk.open_files -= 1
        self._closed = True

    def _use(self, operation: str) -> None:
        if self._closed or self._life != self._disk.life:
            raise fault(errno.EBADF)
        self._disk.maybe_fail(operation)


class CrashingDisk:
    """See the module.

    Attributes:
        life: rises with every crash and kill; files of an earlier one are closed.
        open_files: files that are open now.
        operations: how often each operation was called.
        rng: draws what a failed sync saved.
    """

    path = "memory"

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.life = 0
        self.open_files = 0
        self.operations: dict[str, int] = {}
        self._names: dict[str, Content] = {}
        self._durable_names: dict[str, Content] = {}
        self._edits: list[Edit] = []
        self._failing: dict[str, tuple[int, int]] = {}

    def names(self) -> list[str]:
        self.maybe_fail("names")
        return sorted(self._names)

    def open(self, name: str, *, writable: bool = False) -> CrashingFile:
        self.maybe_fail("open")
        if name not in self._names:
            raise fault(errno.ENOENT)
        return CrashingFile(self, self._names[name], writable=writable)

    def create(self, name: str, size_bytes: int = 0) -> CrashingFile:
        self.maybe_fail("create")
        content = Content(bytearray(size_bytes), bytearray(size_bytes))
        self._edit(name, "", content)
        return CrashingFile(self, content, writable=True)

    def rename(self, old: str, new: str) -> None:
        self.maybe_fail("rename")
        if old not in self._names:
            raise fault(errno.ENOENT)
        self._edit(new, old, self._names[old])

    def remove(self, name: str) -> None:
        self.maybe_fail("remove")
        if name not in self._names:
            raise fault(errno.ENOENT)
        self._edit(name, "", None)

    def sync_folder(self) -> None:
        self.maybe_fail("sync_folder")
        self._durable_names = dict(self._names)
        self._edits.clear()

    # ------------------------------------------------------------------------------------------------------------------ what goes wrong

    def crash(self, rng: Random) -> None:
        """Lose power."""
        contents = {id(content): content for content in [*self._names.values(), *self._durable_names.values()]}
        contents.update((id(content), content) for *_, content in self._edits if content is not None)
        for content in contents.values():
            content.lose(rng)
            content.visible = bytearray(content.durable)
        kept = self._edits[: rng.randint(0, len(self._edits))] if rng.random() < 0.5 else [edit for edit in self._edits if rng.random() < 0.5]
        for edit in kept:
            apply(self._durable_names, edit)
        self._names = dict(self._durable_names)
        self._edits.clear()
        self.kill()

    def kill(self) -> None:
        """End the process: files are closed, the system keeps what it was given."""
        self.life += 1
        self.open_files = 0
        self._failing.clear()

    def fail_next(self, number: int, operation: str, after: int = 0) -> None:
        """Let an operation (``write``, ``sync``, ``create``, ...) raise ``OSError(number)`` once, after so many more that go well."""
        self._failing[operation] = (number, after)

    def maybe_fail(self, operation: str) -> None:
        self.operations[operation] = self.operations.get(operation, 0) + 1
        if operation in self._failing:
            number, after = self._failing.pop(operation)
            if after == 0:
                raise fault(number)
            self._failing[operation] = (number, after - 1)

    # ------------------------------------------------------------------------------------------------------------------ for tests to see

    def content(self, name: str) -> bytes:
        """What a file holds in memory."""
        return bytes(self._names[name].visible)

    def alter(self, name: str, content: bytes) -> None:
        """Give a file other content, on the device too."""
        self._names[name] = Content(bytearray(content), bytearray(content))
        self._durable_names[name] = self._names[name]

    def snapshot(self) -> dict[str, bytes]:
        """All names and what they hold."""
        return {name: bytes(content.visible) for name, content in sorted(self._names.items())}

    def _edit(self, name: str, old: str, content: Content | None) -> None:
        edit = (name, old, content)
        self._edits.append(edit)
        apply(self._names, edit)


def apply(names: dict[str, Content], edit: Edit) -> None:
    """Do one change of a folder."""
    name, old, content = edit
    if old:
        names.pop(old, None)
    if content is None:
        names.pop(name, None)
    else:
        names[name] = content


def fault(number: int) -> OSError:
    return OSError(number, os.strerror(number))
