"""Wrong comparisons of states, planted like those of ``planted`` and looked for where states *rot*."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from replica.core.divergence import Divergence

if TYPE_CHECKING:
    from collections.abc import Callable

Patch = tuple[Any, str, Any]


def states_are_not_compared() -> list[Patch]:
    """Hashes are told and heard, and nobody looks at them: whose state rots serves on."""

    def agree(self: Any, position: int) -> None:
        """Find nothing."""

    return [(Divergence, "_judge", agree)]


def leader_is_right() -> list[Patch]:
    """A replica that differs from its leader takes itself for the wrong one, whatever the majority has."""
    judge = Divergence._judge

    def compare_with_leader(self: Any, position: int) -> None:
        told, own = self._told[position], self.node.config.id
        if own in told and told.get(self.node.leader, told[own]) != told[own]:
            self.certain, self.verdict = True, f"its state at position {position} is not the leader's"
        else:
            judge(self, position)

    return [(Divergence, "_judge", compare_with_leader)]


# ----------------------------------------------------------------------------------------------------- found here, and mended since


def open_for_ever() -> list[Patch]:
    """A difference that nobody could judge stays a reason to leave when the majority has long agreed at a later position."""

    def keep(self: Any, position: int) -> None:
        """Settle nothing."""

    return [(Divergence, "_settle", keep)]


STATE_BUGS: dict[str, Callable[[], list[Patch]]] = {bug.__name__: bug for bug in (states_are_not_compared, leader_is_right, open_for_ever)}

STATE_RECORDED: dict[str, tuple[int, str, str]] = {
    "states_are_not_compared": (1, "liveness: r", "rot"),
    "leader_is_right": (10, "I-SAME", "rot"),
    "open_for_ever": (1, "I-SAME", "rot"),
}
"""``{bug: (a seed that finds it, what its failure says, the world it is found in)}``."""
