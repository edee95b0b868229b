"""What may happen in a small world, and what its programs know."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from replica.core.config import Mode


@attrs.frozen
class Operation:
    """One command of a program; ``value`` None: a read."""

    key: bytes
    value: bytes | None = None
    causal: bool = False
    waits: bool = True
    """It is issued when the one before it is complete; else it may be at any moment after that was issued."""


@attrs.frozen
class Scope:
    """What a search explores.

    Attributes:
        name: letters of the list in docs/testing.md.
        programs: ``{client: its operations}``.
        mode: the cluster's.
        elections: replicas may ask for votes so often.
        crashes: replicas may die so often, and come back with what their disks hold.
        losses: frames may vanish so often.
        duplicates: likewise be delivered twice.
        deaths: likewise for ever.
        shrunk: what was left out, in words.
    """

    name: str
    programs: Mapping[str, tuple[Operation, ...]]
    mode: Mode = "ho"
    elections: int = 0
    crashes: int = 0
    losses: int = 0
    duplicates: int = 0
    deaths: int = 0
    candidates: tuple[int, ...] = (0, 1, 2)
    """Replicas that may ask for votes."""
    victims: tuple[int, ...] = (0, 1, 2)
    """Replicas that may crash."""
    cut: tuple[tuple[int, int], ...] = ()
    """(from, to) of links between replicas on which everything is lost until the run is over."""
    prompt: bool = False
    """Clients hear everything at once."""
    shrunk: str = ""

    @property
    def faults(self) -> int:
        """Return how much may go wrong."""
        return self.elections + self.crashes + self.losses + self.duplicates + self.deaths

    @property
    def operations(self) -> list[Operation]:
        """Return all operations, client by client."""
        return [operation for program in self.programs.values() for operation in program]


@attrs.frozen
class Fact:
    """What a program knows of one operation."""

    before: tuple[int, ...] = ()
    """Strong operations of other clients that had returned when this one, a strong one, was invoked."""
    invoked: bool = False
    returned: bool = False
    result: bytes | None = None
