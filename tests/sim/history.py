"""What the programs asked for and were told: issue order, invocation and response of every command, by session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

from replica.core.flights import Completion, CompletionKind
from statemachine.command import CAS_VALUE, CAS_VERSION, CAUSAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from replica.core.messages import Query, Value


class Violation(AssertionError):
    """A promise was broken; the text says which, and by what."""


@attrs.define(eq=False)
class Operation:
    """One command or read as its program saw it. Stamps are the world's count of events: unique moments in real order."""

    session: int
    """Which session of the run, from 0."""
    place: int
    """Issue order within the session, from 0."""
    number: int
    """A logged command's number; 0 for reads."""
    strong: bool
    kind: int
    """Logged: the command's kind without the causal bit."""
    key: bytes | None
    value: object
    query: Query | None
    dependency: int
    """Reads: the session's last logged command before it."""
    invoked: int
    invoked_at: float
    returned: int = 0
    """0: not yet."""
    returned_at: float = 0.0
    result: Value | bool = None
    version: int = 0
    fast: bool = False
    failed: bool = False
    """Its session ended first: whether it took effect is not known."""
    newest_own: int = 0
    """Reads: the session's last logged command when it returned."""
    node: int = -1
    """Its place in the graph."""
    position: int = 0
    """Logged: where the certificate has it."""
    wrote: bool = False
    """Logged: whether it changed its key (a failed cas did not)."""

    @property
    def is_cas(self) -> bool:
        """Whether it has an outcome."""
        return self.number > 0 and self.kind in (CAS_VALUE, CAS_VERSION)

    def __str__(self) -> str:
        kind = ("put", "delete", "cas", "cas_version")[self.kind]
        what = f"#{self.number} {kind} {self.key!r} {self.value!r}" if self.number else f"{self.query!r}"
        how = "strong" if self.strong else "causal"
        end = f"= {self.result!r} version {self.version} at {self.returned_at * 1000:.3f} ms" if self.returned else "(no answer)"
        return f"s{self.session} {how} {what} invoked at {self.invoked_at * 1000:.3f} ms {end}"


@attrs.define(eq=False)
class Track:
    """One session's operations."""

    index: int
    token: bytes
    client: int
    program: int
    """Whose session it is: a program has one after the other."""
    sid: int = 0
    """Its id, when it is open."""
    operations: list[Operation] = attrs.Factory(list)
    logged: list[Operation] = attrs.Factory(list)
    # number - 1 is the place
    dead: bool = False
    """Its client died: it hears nothing any more."""
    left: bool = False
    """Its program is done with it: it was closed, or is lost."""

    @property
    def ended(self) -> bool:
        """Whether nothing more is asked for in it."""
        return self.dead or self.left

    @property
    def waiting(self) -> list[Operation]:
        """What has no answer."""
        return [operation for operation in self.operations if not (operation.returned or operation.failed)]


@attrs.define(eq=False)
class Submission:
    """The handle of one submission."""

    track: Track
    operations: list[Operation]


@attrs.define(eq=False)
class History:
    """All sessions' operations, and who wrote which value (every written value is unique)."""

    causal_mode: bool
    sessions_end: bool = False
    """Sessions may be closed, or expire: then what is on its way fails."""
    tracks: list[Track] = attrs.Factory(list)
    writers: dict[bytes, Operation] = attrs.Factory(dict)
    # {value: who wrote it}
    completed: int = 0
    fast: int = 0
    slow: int = 0

    def begin(self, client: int, program: int) -> Track:
        """Begin a session; its token is its own."""
        track = Track(len(self.tracks), b"token %d" % len(self.tracks), client, program)
        self.tracks.append(track)
        return track

    def record(self, track: Track, kinds: bytes, keys: list[bytes], values: Sequence[object], stamp: int, now: float) -> Submission:
        """Note logged commands as issued."""
        strong = not (kinds[0] & CAUSAL and self.causal_mode)
        operations = []
        for kind, key, value in zip(kinds, keys, values, strict=True):
            number = len(track.logged) + 1
            operation = Operation(track.index, len(track.operations), number, strong, kind & ~CAUSAL, key, value, None, 0, stamp, now)
            written = value[1] if isinstance(value, list) else value
            if isinstance(written, bytes):
                assert written not in self.writers, "values are unique"
                self.writers[written] = operation
            track.operations.append(operation)
            track.logged.append(operation)
            operations.append(operation)
        return Submission(track, operations)

    def read(self, track: Track, queries: list[Query], stamp: int, now: float, *, strong: bool) -> Submission:
        """Note reads as issued."""
        operations = []
        for query in queries:
            operation = Operation(
                track.index, len(track.operations), 0, strong or not self.causal_mode, 0, None, None, query, len(track.logged), stamp, now
            )
            track.operations.append(operation)
            operations.append(operation)
        return Submission(track, operations)

    def complete(self, completion: Completion, stamp: int, now: float) -> list[Operation]:
        """Note answers; each command is answered, or fails with its session, once.

        Raises:
            Violation: it was answered before, or failed where sessions do not end.
        """
        submission = completion.handle
        assert isinstance(submission, Submission)
        operations = submission.operations[completion.first : completion.first + completion.count]
        failed = completion.kind is CompletionKind.FAILED
        if len(operations) < completion.count or (failed and not self.sessions_end):
            raise Violation(f"I-ONE: a completion that fits nothing: {completion.kind} {completion.reason} {completion.first}+{completion.count}")
        for place, operation in enumerate(operations):
            if operation.returned or operation.failed:
                raise Violation(f"I-ONE: answered twice: {operation}")
            if failed:
                operation.failed = True
                continue
            operation.returned, operation.returned_at, operation.fast = stamp, now, completion.fast
            operation.newest_own = len(submission.track.logged)
            if completion.values is not None:
                operation.result = completion.values[place]
            if completion.versions is not None:
                operation.version = completion.versions[place]
            self.completed += 1
            if operation.number and operation.strong:
                self.fast += completion.fast
                self.slow += not completion.fast
        return [operation for operation in operations if operation.returned]
