"""A run as data: what went wrong when, and what was asked for when. A seed draws it as it goes; played again, nothing of it is drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from replica.core.messages import Query, Value
    from tests.sim.options import Options
    from tests.sim.streams import Tape


@attrs.frozen
class Fault:
    """One thing that goes wrong, with whom it struck when it was drawn."""

    at: float
    """Virtual seconds."""
    kind: str
    whom: tuple[str, ...]
    """Names of actors; what each stands for is the kind's matter (``strikes``)."""
    seconds: float = 0.0
    """How long it lasts."""
    how: tuple[object, ...] = ()


@attrs.frozen
class Asked:
    """One submission of a program: logged commands, or reads."""

    at: float
    """Virtual seconds; it leaves later if the session has too much in flight then."""
    session: int
    """Which program's."""
    kinds: bytes = b""
    keys: tuple[bytes, ...] = ()
    values: tuple[Value, ...] = ()
    queries: tuple[Query, ...] = ()
    """Reads instead of commands."""
    strong: bool = False
    """Of reads."""
    versioned: bool = False
    """Of strong reads."""
    flushes: bool = False
    """A flush follows."""
    parts: str = ""
    """The session is closed behind it, ``"at once"`` or when it is ``"idle"``, and another one is opened."""

    def __len__(self) -> int:
        return len(self.keys) or len(self.queries)

    def only(self, places: list[int]) -> Asked:
        """Return it with the commands or reads at some places alone."""
        return attrs.evolve(
            self, kinds=bytes(self.kinds[place] for place in places) if self.kinds else b"",
            keys=tuple(self.keys[place] for place in places) if self.keys else (),
            values=tuple(self.values[place] for place in places) if self.keys else (),
            queries=tuple(self.queries[place] for place in places) if self.queries else (),
        )  # fmt: skip


@attrs.frozen
class Plan:
    """All that a run is made of."""

    options: Options
    faults: tuple[Fault, ...]
    """In order of time."""
    asked: tuple[Asked, ...]
    """In order of time."""
    tapes: dict[str, Tape]
    """Everything else that is chance: delays, losses, elections' jitter."""
    variant: int = 0
    """0: the tapes are played; another number: other chance."""
    sessions: frozenset[int] = frozenset()
    """Who takes part."""

    @property
    def commands(self) -> int:
        """How many commands and reads are asked for, without the encore."""
        return sum(map(len, self.asked))
