"""The replicated log: entries at consecutive indices, each a batch of commands at consecutive positions.

Raft's log (Ongaro & Ousterhout, ATC'14, section 5.3) with batches as entries; an entry keeps the view in which it was first appended.  An
index counts entries, a position counts commands; versions and everything a user sees are positions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from replica.core.messages import Entry, Value

ENTRY_OVERHEAD_BYTES = 256
COMMAND_OVERHEAD_BYTES = 96
ENTRIES_PER_ACCEPT_MAX = 64
COMMANDS_PER_ACCEPT_MAX = 8192


def entry_bytes(entry: Entry) -> int:
    """Return about how much memory an entry takes, in bytes."""
    return ENTRY_OVERHEAD_BYTES + COMMAND_OVERHEAD_BYTES * len(entry.keys) + commands_bytes(entry.keys, entry.values)


def commands_bytes(keys: list[bytes], values: list[Value]) -> int:
    """Return the bytes of keys and values, those of a cas included: about what they take in a frame."""
    return sum(map(len, keys)) + sum([len(value) if value.__class__ is bytes else _item_bytes(value) for value in values])


def _item_bytes(value: Value) -> int:
    return sum([len(part) for part in value if isinstance(part, bytes)]) if isinstance(value, list) else 0


@attrs.define(eq=False)
class Log:
    """Entries ``first_index .. last_index``; what lies below was applied everywhere it had to be and is gone."""

    entries: list[Entry] = attrs.Factory(list)
    sizes: list[int] = attrs.Factory(list)
    """Of each entry, ``entry_bytes``."""
    first_index: int = 1
    before_view: int = 0
    """View of the entry just below ``first_index``."""
    before_position: int = 0
    """Last position below ``first_index``."""
    size_bytes: int = 0

    @property
    def last_index(self) -> int:
        """Index of the newest entry; 0 for an empty log."""
        return self.first_index + len(self.entries) - 1

    @property
    def last_view(self) -> int:
        """View of the newest entry."""
        return self.entries[-1].view if self.entries else self.before_view

    @property
    def last_position(self) -> int:
        """Position of the newest command."""
        return last_position(self.entries[-1]) if self.entries else self.before_position

    def view_at(self, index: int) -> int | None:
        """Return the view of the entry at ``index``, None when the log does not reach there or no longer does."""
        if index == self.first_index - 1:
            return self.before_view
        offset = index - self.first_index
        return self.entries[offset].view if 0 <= offset < len(self.entries) else None

    def get(self, index: int) -> Entry:
        """Return the entry at ``index``, which must be here."""
        offset = index - self.first_index
        assert 0 <= offset < len(self.entries), (index, self.first_index, self.last_index)
        return self.entries[offset]

    def bytes_between(self, after: int, before: int) -> int:
        """Return the bytes of the entries above ``after`` and below ``before``, as far as they are here."""
        first = self.first_index
        return sum(self.sizes[max(after + 1 - first, 0) : before - first])

    def append(self, entry: Entry) -> None:
        """Add the next entry."""
        assert entry.index == self.last_index + 1, (entry.index, self.last_index)
        assert entry.base == self.last_position, (entry.base, self.last_position)
        size = entry_bytes(entry)
        self.entries.append(entry)
        self.sizes.append(size)
        self.size_bytes += size

    def since(self, index: int, bytes_max: int) -> list[Entry]:
        """Return entries from ``index`` on, at least one if there is one, up to about ``bytes_max``."""
        offset, size, commands = index - self.first_index, 0, 0
        assert offset >= 0, (index, self.first_index)
        taken: list[Entry] = []
        for place in range(offset, min(offset + ENTRIES_PER_ACCEPT_MAX, len(self.entries))):
            size += self.sizes[place]
            commands += len(self.entries[place].kinds)
            if taken and (size > bytes_max or commands > COMMANDS_PER_ACCEPT_MAX):
                break
            taken.append(self.entries[place])
        return taken

    def truncate_after(self, index: int) -> None:
        """Drop every entry above ``index``: a newer view's leader has others there."""
        keep = index + 1 - self.first_index
        self.size_bytes -= sum(self.sizes[keep:])
        del self.entries[keep:], self.sizes[keep:]

    def discard_upto(self, index: int) -> None:
        """Forget the entries up to ``index``, in one step for many."""
        count = index + 1 - self.first_index
        if count <= 0:
            return
        newest = self.entries[count - 1]
        self.size_bytes -= sum(self.sizes[:count])
        self.before_view, self.before_position = newest.view, last_position(newest)
        del self.entries[:count], self.sizes[:count]
        self.first_index = index + 1


def last_position(entry: Entry) -> int:
    """Return the position of an entry's last command (its base if it has none)."""
    return entry.base + len(entry.system) + len(entry.kinds)
