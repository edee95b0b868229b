"""The names of a fabric's endpoints: a fault about nobody would strike nobody, and a test that went on without it would show nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection


class Endpoints:
    """Names that faults may be about: of endpoints that there are or were, and of guests.

    Args:
        guests: endpoints whose names begin so may come at any time.
    """

    def __init__(self, guests: str = "") -> None:
        self._names: set[str] = set()
        self._guests = guests

    def add(self, name: str) -> None:
        """Take note of an endpoint; it stays known when it is gone."""
        self._names.add(name)

    def one(self, name: object) -> str:
        """Return a name.

        Raises:
            ValueError: nobody has it.
        """
        if isinstance(name, str) and (name in self._names or (self._guests and name.startswith(self._guests))):
            return name
        raise ValueError(f"nobody in the fabric has the name {name!r}; names are {', '.join(sorted(self._names)) or 'none yet'}")

    def pair(self, name: str, other: str) -> tuple[str, str]:
        """Return the names of two endpoints that may be connected.

        Raises:
            ValueError: nobody has one of them, or they are the same.
        """
        if name == other:
            raise ValueError(f"{name!r} has no connection with itself")
        return self.one(name), self.one(other)

    def group(self, names: Collection[str]) -> frozenset[str]:
        """Return one side of a partition.

        Raises:
            ValueError: nobody has one of the names, there is none, or it is one name instead of several.
        """
        if isinstance(names, str) or not names:
            raise ValueError(f"one side of a partition is some names, not {names!r}")
        return frozenset(map(self.one, names))
