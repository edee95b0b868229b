"""The search for a linearization: Wing & Gong's, with Lowe's memory of configurations that were tried.

A configuration is which steps have taken effect and what the keys hold. A step may be next if nothing that has not taken effect returned before
it was invoked. Rules that lose no linearization, and without which this would be slow:

- A read whose answer fits is taken at once: it changes nothing and only lets others come.
- A value that can never come back is not overwritten while a read of it is still to come.
- A write that nobody read is taken right before another write of the key: it disturbs nobody there.
- Of the writes that may be next, the one that must be first is tried first; of several with the same effect only that one.
- What may as well never have happened is taken only if somebody reads what it leaves, or appends to it.

Configurations are remembered as the first step that has not taken effect, which of those behind it have, and a 64-bit sum of what the keys hold;
a sum that fits by chance (one in 10^19) could hide a linearization.

Sources: Wing & Gong, JPDC'93; Lowe, "Testing for linearizability", CCPE'17; the same in Knossos and Porcupine.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from loadgen.checkers.operation import NEVER
from loadgen.checkers.steps import Need, Step, growing, is_unique, writers_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_STEPS_PER_LOOK: Final = 128
"""Configurations between two looks at the clock."""

_LATE: Final = NEVER - 1
"""What has no end is after all that has one."""

Move = list[int]
"""Steps that take effect together, in this order."""


class OutOfTime(Exception):
    """The search did not end in time: there is no verdict."""


class Search:
    """One search.

    Args:
        steps: as ``steps_of`` gives them.
        deadline: on ``time.monotonic``.

    Invariants: ``done`` says which steps have taken effect, in the order of ``trail``; ``base`` is the first mandatory one that has not.
    """

    def __init__(self, steps: Sequence[Step], deadline: float) -> None:
        mandatory = sorted((step for step in steps if not step.optional), key=lambda step: step.invoked)
        optional = sorted((step for step in steps if step.optional), key=lambda step: step.invoked)
        self.steps = mandatory + optional
        self.mandatory = len(mandatory)
        self.deadline = deadline
        self.done = bytearray(len(self.steps))
        self.base = 0
        self.left = self.mandatory
        self.state: dict[bytes, bytes | None] = {}
        self.sum = 0
        self.trail: list[tuple[int, bytes | None]] = []  # step, and what its key held before
        writers = writers_of(steps)
        self.growing = growing(steps)
        self.waiting: dict[Need, int] = {}  # {a value that cannot come back: mandatory reads of it that are still to come}
        for step in mandatory:
            for need in step.needs:
                if is_unique(need, writers):
                    self.waiting[need] = self.waiting.get(need, 0) + 1
        self._tried: set[tuple[int, bytes, bytes, int, bytes | None]] = set()

    def run(self) -> bool:
        """Return whether there is a linearization.

        Raises:
            OutOfTime: nobody knows.
        """
        self._absorb()
        stack = [(len(self.trail), self._moves())]
        looks = 0
        while self.left:
            looks += 1
            if looks % _STEPS_PER_LOOK == 0 and monotonic() > self.deadline:
                raise OutOfTime
            mark, moves = stack[-1]
            self._undo(mark)
            if not moves:
                stack.pop()
                if not stack:
                    return False
                continue
            move = moves.pop()
            for index in move:
                self._take(index)
            last = self.steps[move[-1]]
            unused = last.writes[0] if not self._absorb() and last.optional and last.writes is not None else None
            unused = None if unused in self.growing else unused
            window = bytes(self.done[self.base : self.mandatory].rstrip(b"\0"))
            tried = (self.base, window, bytes(self.done[self.mandatory :]), self.sum, unused)
            if tried not in self._tried:
                self._tried.add(tried)
                stack.append((len(self.trail), self._moves(unused)))
        return True

    def _enabled(self) -> list[int]:
        """Return the steps that may be next."""
        steps, done = self.steps, self.done
        first_return = NEVER
        found = []
        index, count = self.base, self.mandatory
        while index < count and steps[index].invoked < first_return:
            if not done[index]:
                found.append(index)
                first_return = min(first_return, steps[index].returned)
            index += 1
        found = [index for index in found if steps[index].invoked < first_return]
        for index in range(count, len(steps)):
            if steps[index].invoked >= first_return:
                break
            if not done[index]:
                found.append(index)
        return found

    def _fits(self, step: Step) -> bool:
        state = self.state
        for key, value in step.needs:
            if state.get(key) != value:
                return False
        return step.refuses is None or state.get(step.refuses[0]) != step.refuses[1]

    def _absorb(self) -> bool:
        """Take all reads that fit; return whether there were any."""
        before, moved = len(self.trail), True
        while moved:
            moved = False
            for index in self._enabled():
                step = self.steps[index]
                if step.writes is None and self._fits(step):
                    self._take(index)
                    moved = True
        return len(self.trail) > before

    def _moves(self, unused: bytes | None = None) -> list[Move]:
        """Return what may be next, the best last.

        Args:
            unused: the key that a step has just written that may as well not have been, and nobody has read it since: overwriting it is no use.
        """
        idle: dict[bytes, Move] = {}
        best: dict[object, tuple[int, int, int]] = {}  # {effect: (its own deadline, index, deadline)} of the first that must be, of several with it
        enabled = self._enabled()
        stuck = [step for index in enabled if (step := self.steps[index]).needs or step.refuses]
        for index in enabled:
            step = self.steps[index]
            if step.writes is None or not self._may_overwrite(step):
                continue
            key = step.writes[0]
            if step.idle:
                idle.setdefault(key, []).append(index)
            elif self._fits(step) and (step.needs or key != unused):
                grows = key in self.growing
                deadline = step.returned if grows else min(step.returned, self._use(step, stuck))
                if deadline < NEVER or grows:
                    deadline = max(deadline, self._harm(step, stuck))
                    effect = index if step.appends else (step.writes, bool(step.needs))
                    mine = step.returned, index, deadline  # readers' deadlines are the same for all of an effect: who can wait is kept for later
                    best[effect] = min(best.get(effect, mine), mine)
        rated: list[tuple[int, Move]] = []
        for _, index, deadline in best.values():
            step = self.steps[index]
            assert step.writes is not None
            rated.append((deadline, [*([] if step.needs or step.appends else idle.get(step.writes[0], [])), index]))
        rated.sort(reverse=True)
        rest = sorted(((self.steps[move[0]].returned, move) for key, move in idle.items() if key != unused), reverse=True)
        return [move for _, move in rest] + [move for _, move in rated]

    def _use(self, step: Step, stuck: Sequence[Step]) -> int:
        """Return when the first of those must have taken effect that miss what a write leaves; a scan may miss other keys' values too."""
        assert step.writes is not None
        key, value = step.writes
        now = self.state.get(key)
        first = NEVER
        if now == value:
            return first
        for other in stuck:
            deadline = min(other.returned, _LATE)
            if other is step or deadline >= first:
                continue
            if other.refuses == (key, now) if other.refuses is not None else (key, value) in other.needs:
                first = deadline
        return first

    def _harm(self, step: Step, stuck: Sequence[Step]) -> int:
        """Return when the last of those must have taken effect that may be next and read what a write overwrites: better before than after it."""
        assert step.writes is not None
        now = (step.writes[0], self.state.get(step.writes[0]))
        return max((other.returned for other in stuck if other is not step and not other.optional and now in other.needs), default=0)

    def _may_overwrite(self, step: Step) -> bool:
        """Whether nobody still has to read what the step would overwrite for ever, but the step itself."""
        assert step.writes is not None
        key = step.writes[0]
        now: Need = (key, self.state.get(key))
        return self.waiting.get(now, 0) <= (now in step.needs and not step.optional)

    def _take(self, index: int) -> None:
        step = self.steps[index]
        self.done[index] = 1
        if index < self.mandatory:
            self.left -= 1
            while self.base < self.mandatory and self.done[self.base]:
                self.base += 1
            for need in step.needs:
                if need in self.waiting:
                    self.waiting[need] -= 1
        old = None
        if step.writes is not None:
            key, value = step.writes
            old = self.state.get(key)
            if step.appends:
                value = (old or b"") + (value or b"") or None  # where values grow, nothing and an empty string are the same
            self.state[key] = value
            self.sum ^= hash((key, old)) ^ hash((key, value))
        self.trail.append((index, old))

    def _undo(self, mark: int) -> None:
        """Go back to where the trail was this long."""
        while len(self.trail) > mark:
            index, old = self.trail.pop()
            step = self.steps[index]
            self.done[index] = 0
            if index < self.mandatory:
                self.left += 1
                self.base = min(self.base, index)
                for need in step.needs:
                    if need in self.waiting:
                        self.waiting[need] += 1
            if step.writes is not None:
                key = step.writes[0]
                self.sum ^= hash((key, old)) ^ hash((key, self.state[key]))
                self.state[key] = old


def is_linearizable(steps: Sequence[Step], deadline: float) -> bool:
    """Return whether some order of the steps explains every answer.

    Raises:
        OutOfTime: nobody knows.
    """
    return Search(steps, deadline).run()
