"""Tiny random histories of several sessions, and every order of their writes tried: what causal and hybrid verdicts must be."""

from __future__ import annotations

from itertools import permutations, product
from typing import TYPE_CHECKING, Any

from hypothesis import strategies as st

from loadgen.checkers.operation import NEVER, Operation

if TYPE_CHECKING:
    from loadgen.checkers.causality import Causality

Event = dict[str, Any]


@st.composite
def histories(draw: st.DrawFn, *, writes_max: int = 4, operations_max: int = 8) -> list[Event]:
    """Up to three sessions on two keys; each value is written once; operations of a session may overlap."""
    events: list[Event] = []
    waiting: list[Event] = []
    written: dict[str, list[str]] = {"x": [], "y": []}
    numbers = dict.fromkeys("abc", 0)
    count = draw(st.integers(3, operations_max))
    for number in range(count):
        process, key = draw(st.sampled_from("abc")), draw(st.sampled_from("xy"))
        event: Event = {"type": "invoke", "process": process, "id": number, "key": key, "consistency": draw(st.sampled_from(["strong", "causal"]))}
        answer = event
        if sum(map(len, written.values())) < writes_max and draw(st.booleans()):
            numbers[process] += 1
            event |= {"op": "put", "value": f"{number}", "number": numbers[process]}
            written[key].append(f"{number}")
            answer = {**event, "type": "ok"}
        else:
            event["op"] = "get"
            answer = {**event, "type": "ok", "value": draw(st.sampled_from([None, *written[key]]))}
        events.append(event)
        waiting.append(answer)
        while len(waiting) > 0 and draw(st.integers(0, 3)):
            events.append(waiting.pop(draw(st.integers(0, len(waiting) - 1))))
    return events + waiting


def session_order(causality: Causality) -> set[tuple[int, int]]:
    """Return it as pairs of places, by its definition."""
    pairs = [(a, b) for own in causality.sessions.values() for a in own for b in own if a is not b]
    return {(a.place, b.place) for a, b in pairs if _is_before(a, b)}


def _is_before(a: Operation, b: Operation) -> bool:
    if a.reads_only:
        return a.returned < b.invoked
    return a.invoked < b.invoked if b.reads_only or a.number is None else a.number < (b.number or 0)


def closed(pairs: set[tuple[int, int]], count: int) -> set[tuple[int, int]]:
    """Return the transitive closure."""
    for middle in range(count):
        into = [a for a, b in pairs if b == middle]
        out = [b for a, b in pairs if a == middle]
        pairs |= {(a, b) for a in into for b in out}
    return pairs


def causal_order(causality: Causality) -> set[tuple[int, int]]:
    saw = {(writer.place, place) for place, sights in causality.sources.sights.items() for _, writer in sights if writer is not None}
    return closed(session_order(causality) | saw, len(causality.history.operations))


def is_convergent(causality: Causality) -> bool:
    """Whether some order of the writes that extends the causal order explains every read (causal convergence, by its definition)."""
    order = causal_order(causality)
    operations = causality.history.operations
    if causality.sources.thin_air or any(a == b for a, b in order):
        return False
    return any(all(_explained(causality, order, ranks, read) for read in operations if read.reads_only) for ranks in _ranks(operations, order))


def is_hybrid(causality: Causality) -> bool:
    """Whether some order of strong operations and writes extends causality and real time and explains every answer."""
    order = causal_order(causality)
    operations = causality.history.operations
    if causality.sources.thin_air or any(a == b for a, b in order):
        return False
    strong = [operation for operation in operations if operation.strong]
    global_ = [operation for operation in operations if operation.strong or not operation.reads_only]
    timed = {(a.place, b.place) for a in strong for b in global_ if a.returned != NEVER and a.returned < b.invoked}
    timed = closed(order | timed, len(operations))
    for permuted in permutations(global_):
        ranks = {operation.place: rank for rank, operation in enumerate(permuted)}
        if any(a in ranks and b in ranks and ranks[a] >= ranks[b] for a, b in timed):
            continue
        state: dict[bytes, Operation] = {}
        legal = True
        for operation in permuted:
            if operation.reads_only:
                legal = legal and state.get(operation.key) is _saw(causality, operation)
            else:
                state[operation.key] = operation
        if legal and all(_explained(causality, order, ranks, read) for read in operations if read.reads_only and not read.strong):
            return True
    return False


def _ranks(operations: list[Operation], order: set[tuple[int, int]]) -> Any:
    writes = [operation.place for operation in operations if not operation.reads_only]
    for permuted in permutations(writes):
        ranks = {place: rank for rank, place in enumerate(permuted)}
        if not any(a in ranks and b in ranks and ranks[a] >= ranks[b] for a, b in order):
            yield ranks


def _explained(causality: Causality, order: set[tuple[int, int]], ranks: dict[int, int], read: Operation) -> bool:
    """Whether a read saw the last write of its causal past."""
    operations = causality.history.operations
    past = [a for a, b in order if b == read.place and not operations[a].reads_only and operations[a].key == read.key]
    last = max(past, key=ranks.__getitem__, default=None)
    saw = _saw(causality, read)
    return last == (saw.place if saw is not None else None)


def _saw(causality: Causality, read: Operation) -> Operation | None:
    return causality.sources.sights[read.place][0][1] if causality.sources.sights.get(read.place) else None


def has_common_order(causality: Causality) -> bool:
    """Whether strong operations and writes have one order that explains every answer, deletes, refusals and unknown outcomes included.

    What was seen follows from the order, and for causal reads of an absent key every delete is tried.
    """
    operations = [operation for own in causality.sessions.values() for operation in own]
    global_ = [operation for operation in operations if operation.strong or not operation.reads_only]
    timed = {(a.place, b.place) for a in global_ if a.strong for b in global_ if a.returned < b.invoked}
    order = closed(session_order(causality) | timed, len(causality.history.operations))
    missing = {b.place: {a for a, other in order if other == b.place and any(a == each.place for each in global_)} for b in global_}
    waiting: list[tuple[tuple[Operation, ...], dict[bytes, Operation | None], dict[int, Operation | None], frozenset[int]]]
    waiting = [((), {}, {}, frozenset())]  # (what took effect, state, what strong operations saw, all that had their turn)
    while waiting:
        happened, state, saw, done = waiting.pop()
        if len(done) == len(global_):
            if _explains_causal_reads(causality, happened, saw):
                return True
            continue
        for operation in global_:
            if operation.place in done or not missing[operation.place] <= done:
                continue
            there, turned = state.get(operation.key), done | {operation.place}
            if not operation.answered and not operation.refused:
                waiting.append((happened, state, saw, turned))
            if _fits(operation, there.value if there is not None else None):
                seen = saw if operation.kind in {"put", "delete"} else saw | {operation.place: there}
                changes = not operation.reads_only and not operation.refused
                waiting.append(((*happened, operation), state | {operation.key: operation} if changes else state, seen, turned))
    return False


def _fits(operation: Operation, held: bytes | None) -> bool:
    if operation.kind == "get":
        return operation.seen == held
    return operation.kind != "cas" or (operation.expected == held) != operation.refused


def _explains_causal_reads(causality: Causality, happened: tuple[Operation, ...], saw: dict[int, Operation | None]) -> bool:
    reads = [each for each in causality.history.operations if each.kind == "get" and each.answered and not each.strong]
    changes = [each for each in happened if not each.reads_only and not each.refused]
    choices = [
        [
            *(each for each in changes if each.key == read.key and each.value == read.seen and each.invoked < read.returned),
            *[None] * (read.seen is None),
        ]
        for read in reads
    ]
    ranks = {operation.place: rank for rank, operation in enumerate(happened)}
    session, count = session_order(causality), len(causality.history.operations)
    for chosen in product(*choices):
        sights = saw | {read.place: write for read, write in zip(reads, chosen, strict=True)}
        order = closed(session | {(write.place, place) for place, write in sights.items() if write is not None}, count)
        if any(a == b or (a in ranks and b in ranks and ranks[a] > ranks[b]) for a, b in order):
            continue
        past = {read.place: [each for each in changes if each.key == read.key and (each.place, read.place) in order] for read in reads}
        if all((past[read.place][-1] if past[read.place] else None) is write for read, write in zip(reads, chosen, strict=True)):
            return True
    return False
