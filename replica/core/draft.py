"""What a leader makes in one turn while it grows: the entry for its log, and the answers to what it speculated."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from replica.core.log import commands_bytes
from replica.core.messages import SpecReply

if TYPE_CHECKING:
    from replica.core.messages import Value
    from replica.core.node import Node
    from replica.core.witness import Run


@attrs.define(eq=False)
class Draft:
    """The entry of this turn, while it grows."""

    system: list[list[object]] = attrs.Factory(list)
    sessions: list[int] = attrs.Factory(list)
    firsts: list[int] = attrs.Factory(list)
    counts: list[int] = attrs.Factory(list)
    incomplete: list[int] = attrs.Factory(list)
    kinds: list[bytes] = attrs.Factory(list)
    keys: list[bytes] = attrs.Factory(list)
    values: list[Value] = attrs.Factory(list)
    size_bytes: int = 0
    """Bytes of keys and values."""

    def add(self, session: int, run: Run) -> None:
        """Add a run; one that continues the last one is merged with it."""
        if self.sessions and self.sessions[-1] == session:
            self.counts[-1] += len(run.keys)
            self.incomplete[-1] = run.incomplete
        else:
            self.sessions.append(session)
            self.firsts.append(run.first)
            self.counts.append(len(run.keys))
            self.incomplete.append(run.incomplete)
        self.kinds.append(run.kinds)
        self.keys += run.keys
        self.values += run.values
        self.size_bytes += commands_bytes(run.keys, run.values)


@attrs.define(eq=False)
class Speculation:
    """A ``SpecReply`` while it grows: what one frame's commands were answered."""

    sessions: list[int] = attrs.Factory(list)
    firsts: list[int] = attrs.Factory(list)
    counts: list[int] = attrs.Factory(list)
    results: list[list[int]] = attrs.Factory(list)
    total: int = 0

    def add(self, session: int, run: Run, results: list[list[int]]) -> None:
        """Add a run that is answered speculatively, with the outcomes of its cas by place in the run."""
        self.sessions.append(session)
        self.firsts.append(run.first)
        self.counts.append(len(run.keys))
        for place, succeeded in results:
            self.results.append([self.total + place, succeeded])
        self.total += len(run.keys)

    def reply(self, node: Node) -> SpecReply:
        """Make the section."""
        return SpecReply(node.configuration.number, node.view, node.applied_position, self.sessions, self.firsts, self.counts, self.results)
