"""What of a session's commands is committed for sure in the order that the answers of the present view follow.

A command may be in the log of a leader and of too few others: a later leader then commits it behind commands that the earlier one never had before
it.  A strong read that the earlier leader answered behind that command in *its* log has seen none of those.  So a replica's word that a command
is committed serves for a read of some view only if the replica was in no later view when it said so: what was committed by then stands in that
leader's log as it does in all others (Raft, ATC'14, section 5.4).

What must not live here: which reads that lets complete (``tallies``).
"""

from __future__ import annotations

import attrs


@attrs.define(eq=False)
class Settled:
    """One session's; what a later view's replicas say is kept until that view counts."""

    upto: int = 0
    """Committed up to this number, by the word of no later view than the one that counts."""
    later_view: int = 0
    """The highest view of the words below."""
    later_upto: int = 0
    """Committed up to this number, by the word of later views."""

    def hear(self, upto: int, view: int, present: int) -> None:
        """Take a replica's word, told in ``view``, that everything up to ``upto`` is committed; ``present``: the view that counts."""
        if view <= present:
            self.upto = max(self.upto, upto)
        else:
            self.later_view, self.later_upto = max(self.later_view, view), max(self.later_upto, upto)

    def enter(self, present: int) -> None:
        """Let a newer view count."""
        if self.later_view <= present:
            self.upto = max(self.upto, self.later_upto)
