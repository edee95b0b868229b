"""What a session has on its way, and what it tells its caller when something of it is done."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING

import attrs

from replica.core.messages import Query, Value
from statemachine.command import CAS_VALUE, CAS_VERSION

if TYPE_CHECKING:
    from replica.core.session import Session
    from replica.core.witness import Run


class CompletionKind(Enum):
    """What happened to what the caller submitted."""

    OPENED = "opened"
    RECORDED = "recorded"
    READ = "read"
    FLUSHED = "flushed"
    FAILED = "failed"


@attrs.define(eq=False)
class Completion:
    """Some consecutive commands of one submission are complete; the counts of a submission's completions add up to its size."""

    session: Session
    handle: object
    """The caller's own, as given with the submission."""
    kind: CompletionKind
    first: int
    """Place of the first of them in the submission."""
    count: int
    values: list[Value] | None = None
    """Reads: the values. Recorded commands with a result (cas): whether each succeeded, None for blind ones; None when all are blind."""
    versions: list[int] | None = None
    """Reads: versions, 0 where there is none or none may be told yet."""
    fast: bool = False
    """Strong recorded commands: by the fast path."""
    reason: str = ""
    """Why it failed; a failed recorded command may have taken effect."""


@attrs.define(eq=False)
class Flight:
    """A submission of logged commands, all strong or all causal."""

    run: Run
    handle: object
    causal: bool
    blind: bool
    done: int
    """Last number that is complete."""
    sent_at: float

    def known_upto(self, last: int, fast: int, results: dict[int, bool], speculated: dict[int, bool]) -> int:
        """Cut ``last`` to the commands whose results are known.

        A speculated result counts on the fast path (up to ``fast``) only: committed by another view's leader, the command may have had another.
        """
        run = self.run
        for number in range(self.done + 1, last + 1):
            known = number in results or (number <= fast and number in speculated)
            if run.kinds[number - run.first] in (CAS_VALUE, CAS_VERSION) and not known:
                return number - 1
        return last


Part = tuple[int, list[Value], list[int]]
"""(place in the submission, values, versions)."""


@attrs.define(eq=False)
class ReadFlight:
    """A submission of reads of one kind."""

    first: int
    count: int
    queries: list[Query]
    handle: object
    dependency: int
    sent_at: float
    floor: int = 0
    left: int = 0
    """Reads that are not complete."""
    parts: list[Part] = attrs.Factory(list)
    """Strong: the leader's answers that still want confirmations."""
    seen: bytearray | None = None
    """Once answered in parts: which reads are complete."""

    def missing(self) -> list[tuple[int, int]]:
        """Return (place in the submission, count) of the runs that are not complete: what is asked again.

        Not all of it: what does not fit a replica's queue to us is dropped there, and the same beginning would fill it every time.
        """
        seen, end = self.seen, 0
        if seen is None:
            return [(0, self.count)]
        runs = []
        while (start := seen.find(0, end)) >= 0:
            end = seen.find(1, start)
            if end < 0:
                end = self.count
            runs.append((start, end - start))
        return runs

    def fresh(self, parts: list[Part]) -> list[Part]:
        """Return what of the parts is not complete yet (a read asked twice may be answered twice), and count it as complete."""
        seen = self.seen = self.seen or bytearray(self.count)
        kept: list[Part] = []
        for place, values, versions in parts:
            start = place
            for at in range(place, place + len(values) + 1):
                if at == place + len(values) or seen[at]:
                    if at > start:
                        kept.append((start, values[start - place : at - place], versions[start - place : at - place]))
                        seen[start:at] = b"\1" * (at - start)
                    start = at + 1
        return kept
