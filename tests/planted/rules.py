"""The rules that judge simulated worlds and small scopes, each with what its failures say, and what it means: the last table of docs/planted.md."""

from __future__ import annotations

import attrs

TURN, END = "every turn", "the end"


@attrs.frozen
class Rule:
    """One rule.

    Attributes:
        name: as failures begin that break it, or in words.
        when: it is looked at.
        meaning: what must hold.
        marks: what failures of it say; by default the name.
    """

    name: str
    when: str
    meaning: str
    marks: tuple[str, ...] = ()

    def said(self, failure: str) -> bool:
        """Whether a failure is one of this rule."""
        return any(mark in failure for mark in self.marks or (self.name,))


RULES = (
    Rule("I-VIEW", TURN, "a view has one leader, and no replica's view, commit or applied position ever goes back"),
    Rule("I-VOTE", TURN, "a replica votes for one candidate in a view, as its disk has it"),
    Rule("I-MATCH", TURN, "an index and a view name one entry with one entry before it, and what is committed is the same everywhere"),
    Rule("I-ORDER", TURN, "an entry that somebody takes for committed is held by a majority of the voters"),
    Rule("I-COMP", TURN, "who leads has every entry that was committed in an older view"),
    Rule("I-SESS", TURN, "the log has a session's commands in the order of their numbers, none left out and none twice"),
    Rule("I-ACK", TURN, "an acknowledgement is of the view that its sender is in, and claims no more than it holds"),
    Rule("I-FAST", TURN, "what completed by the fast path, or what a strong read rests on, is held by a fast quorum of the voters, or is committed"),
    Rule("I-ONE", TURN, "a command has one outcome, whoever tells it, and is answered once"),
    Rule("I-WIT", TURN, "no two sessions have a key anchored at one witness, and its index of keys says what its chains do"),
    Rule("I-BARRIER", TURN, "nobody is shown an uncommitted value of another session, nor the version of an uncommitted own one"),
    Rule("I-CFG", TURN, "a configuration has one meaning in a view, one change is under way at a time, and clients count by the leader's"),
    Rule("I-END", TURN, "a session is closed behind all its commands, and none of them enters the log behind its end"),
    Rule("I-GC", TURN, "what replicas and clients hold stays within its limits, and goes when nobody needs it any more"),
    Rule("I-SAME", TURN, "who leaves service because states differ, or is named for it, is one whose state was altered"),
    Rule("no version foretold", TURN, "no outcome rests on the position of a write that is not committed", ("a version foretold",)),
    Rule(
        "honest peers", TURN, "nobody takes a frame of a replica that follows the protocol for a wrong one",
        ("ack_beyond_log", "refused an honest sender"),
    ),
    Rule("no spinning", TURN, "nobody asks again and again for a turn at a moment that is past", ("spins",)),
    Rule(
        "the core's own", TURN,
        "an assertion of the core: entries and commands follow each other without a hole, and are applied once",
        ("AssertionError", "command 1 after 1"),
    ),
    Rule("handing over", TURN, "while a leader hands over its log does not grow"),
    Rule("I-LOSS", END, "what was answered is in the log, and so is all that a living client asked for"),
    Rule("I-SPEC", END, "the outcome that a client was told is the one that the log gives"),
    Rule("I-CONV", END, "all replicas have the state that the log gives"),
    Rule(
        "I-LIN", END,
        "some order of the strong commands agrees with the log's order of what conflicts, with every session, with real time and with all reads",
        ("I-LIN", "no order explains"),
    ),
    Rule("I-CCV", END, "a read sees at least the newest write of its causal past"),
    Rule("causal answer", END, "a causal answer says how many of its session's commands it shows, and answers no session that has ended there"),
    Rule("read your writes", END, "a scan shows the session's own writes"),
    Rule(
        "reads are true", END,
        "a read shows what was written, with the version that it has; what it did not see was not there in the state that it names",
        ("was there at", "was never there", "has version", "is not the state's"),
    ),
    Rule("exactly once", END, "each command is executed once", ("applied 2 of 1 commands",)),
    Rule(
        "liveness", END,
        "when faults have ended, everything completes, is committed, applied and told within 30 s of virtual time, and the fast path is back",
        ("liveness", "do not vote yet", "never complete"),
    ),
)  # fmt: skip


def rule_of(failure: str) -> Rule:
    """Return the rule that a failure broke.

    Raises:
        LookupError: none that is listed.
    """
    for rule in RULES:
        if rule.said(failure):
            return rule
    raise LookupError(failure)
