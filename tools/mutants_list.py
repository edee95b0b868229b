"""The mutants of ``tools/mutants.py``: small changes of the sources, each of which breaks a promise that some test must hold us to.

They were written down before anybody looked at which tests catch them, about twenty for each area, and ten of each were drawn by lot.  They are
no typing errors: a condition that is missing, a number that is off by one, a reset that is forgotten, something said before it is on disk.

A change of the sources may take the place of a mutant away; the tests of this list say so.  Plant the same mistake in the new text then.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        name: of the mistake.
        area: ``witness``, ``leader``, ``recovery``, ``session`` or ``storage``.
        file: from the root of the checkout.
        old: what is replaced; it stands in the file once.
        new: what takes its place.
        promise: what is broken.
        remark: what became of one that nothing found at first: the test that finds it now, or why none can.
    """

    name: str
    area: str
    file: str
    old: str
    new: str
    promise: str
    remark: str = ""


# fmt: off
MUTANTS = (
    Mutant(
        "release-frees-newer-anchor", "witness", "replica/core/witness.py",
        "                if anchored.get(key) == token:", "                if key in anchored:",
        "a key stays anchored while a later command on it is uncommitted",
    ),
    Mutant(
        "own-key-not-judged", "witness", "replica/core/witness.py",
        "            if number > upto:\n                break", "            if number >= upto:\n                break",
        "a strong command that conflicts with another session is refused, also when it is judged alone",
    ),
    Mutant(
        "refused-does-not-wait", "witness", "replica/core/witness.py",
        "                self.waiting.setdefault(key, {})[session] = None\n                return False",
        "                return False",
        "refused is not final: when what stood in the way commits, the chain is judged again",
    ),
    Mutant(
        "shrunk-compound-not-retried", "witness", "replica/core/witness.py",
        "elif lighter and chain.accepted < chain.held:", "elif lighter and chain.accepted > chain.held:",
        "a refused command is judged again when causal writes judged with it were committed",
    ),
    Mutant(
        "restored-anchor-short", "witness", "replica/core/witness.py",
        "                if number <= chain.anchored:\n                    self.anchored[key] = base | number\n                elif",
        "                if number < chain.anchored:\n                    self.anchored[key] = base | number\n                elif",
        "what was anchored before a restart is anchored after it, the last command too",
    ),
    Mutant(
        "value-bytes-unlimited", "witness", "replica/core/witness.py",
        "self.commands + count > self.commands_max or self.value_bytes >= self.bytes_max",
        "self.commands + count > self.commands_max",
        "the bytes of the values a witness holds are bounded",
    ),
    Mutant(
        "gap-of-one", "witness", "replica/core/voter.py",
        "        elif previous > chain.held:", "        elif previous > chain.held + 1:",
        "a run whose predecessor is missing is not held",
    ),
    Mutant(
        "resent-last-unanswered", "witness", "replica/core/voter.py",
        "        if 0 < run.first <= chain.committed:", "        if 0 < run.first < chain.committed:",
        "a resent command that is applied is answered, the session's last one too",
    ),
    Mutant(
        "anchor-not-recorded", "witness", "replica/core/voter.py",
        "                levels.append(pin(chain, dependency))\n                if chain.anchored > before:",
        "                levels.append(pin(chain, dependency))\n                if chain.anchored < before:",
        "the level that a voter says it has anchored is on disk before it says so",
        "a test was missing: test_an_anchor_is_answered_when_its_level_is_on_disk_and_holds_after_a_restart "
        "(tests/replica/core/test_voter_on_disk.py).",
    ),
    Mutant(
        "promotion-not-recorded", "witness", "replica/core/node.py",
        "            self.journal.on_level(chain)\n            if chain.link", "            if chain.link",
        "a verdict that changed is on disk before a client is told",
        "a test was missing: test_a_promotion_is_told_when_it_is_on_disk_and_no_rival_is_accepted_in_its_place_after_a_restart "
        "(tests/replica/core/test_voter_on_disk.py).",
    ),
    Mutant(
        "counts-itself-unsynced", "leader", "replica/core/progress.py",
        "matches.append(self.node.journal.durable_index)", "matches.append(self.node.log.last_index)",
        "the leader counts itself for a commit when its own disk has the entry",
    ),
    Mutant(
        "speculates-behind-blocked", "leader", "replica/core/leader.py",
        "elif free and logged.blocked <= committed and logged.unwitnessed", "elif free and logged.unwitnessed",
        "nothing is speculative behind an uncommitted command of its session that was not",
    ),
    Mutant(
        "speculates-behind-unwitnessed", "leader", "replica/core/leader.py",
        "logged.unwitnessed <= committed and min(run.kinds)", "min(run.kinds)",
        "mode ht: nothing is speculative behind an uncommitted causal write that no witness saw",
    ),
    Mutant(
        "rogue-forgotten-early", "leader", "replica/core/tail.py",
        "if self.rogue.get(key) == entry.index:", "if key in self.rogue:",
        "a conflict source in the tail counts until its own entry is applied",
        "a test was missing: test_a_refused_command_in_the_log_stays_a_conflict_when_an_earlier_write_of_its_key_is_applied "
        "(tests/replica/core/test_tail.py).",
    ),
    Mutant(
        "cas-over-unknown", "leader", "replica/core/tail.py",
        "usable = logged.blocked <= chain.committed", "usable = True",
        "a cas is not speculated over one whose outcome is not known",
        "it was planted in a second condition, which changed nothing and is gone; the same mistake is planted in the first: a run with a cas "
        "whose outcome is not known blocks its session until that entry is applied, and a blocked session evaluates no cas.",
    ),
    Mutant(
        "reads-at-commit-index", "leader", "replica/core/reads.py",
        "IndexRead(leader.round + 1, leader.next_index,", "IndexRead(leader.round + 1, self.node.commit_index,",
        "a read by the long way sees what completed fast and is not committed",
    ),
    Mutant(
        "reads-rest-on-blocked", "leader", "replica/core/reads.py",
        "or logged.blocked > chain.committed or logged.unwitnessed > chain.committed", "or logged.unwitnessed > chain.committed",
        "a strong read behind a command that is not speculative waits for it",
        "a test was missing, and it was taken for a change of nothing: test_a_read_behind_an_own_command_that_is_blocked_waits_for_its_commit "
        "(tests/replica/core/test_reads_blocked.py). No wrong answer was found without the condition, only sooner ones; it stays, because the "
        "argument for reads over the tail is made with it.",
    ),
    Mutant(
        "commits-unmatched", "leader", "replica/core/follower.py",
        "min(accept.commit_index, self.match)", "min(accept.commit_index, log.last_index)",
        "a follower commits only what is known to be the leader's log",
    ),
    Mutant(
        "acks-unsynced", "leader", "replica/core/follower.py",
        "durable = min(self.match, node.journal.durable_index)", "durable = self.match",
        "an entry is on disk before the ack that covers it",
    ),
    Mutant(
        "trims-unapplied-follower", "leader", "replica/core/leader.py",
        "held = min([progress.match for progress in self.progress.values()] + [applied])",
        "held = max([progress.match for progress in self.progress.values()] + [applied])",
        "entries are kept while a follower lacks them or they are not applied",
    ),
    Mutant(
        "acknowledged-not-recovered", "recovery", "replica/core/recovery.py",
        "        for session in sessions:\n            self._add_causal(session, reports)\n", "",
        "causal writes that anybody heard holds are recovered",
    ),
    Mutant(
        "own-levels-accepted", "recovery", "replica/core/recovery.py",
        "report.anchored[session] = chain.anchored", "report.anchored[session] = chain.accepted",
        "the new leader reports of itself what is anchored, not what is accepted",
    ),
    Mutant(
        "told-levels-accepted", "recovery", "replica/core/recovery.py",
        "append([chain.session, chain.committed, chain.accepted, chain.anchored])",
        "append([chain.session, chain.committed, chain.anchored, chain.accepted])",
        "a voter tells a new leader what is anchored, not what is accepted",
    ),
    Mutant(
        "longer-log-wins", "recovery", "replica/core/election.py",
        "(vote.last_view, vote.last_index) >= (node.log.last_view, node.log.last_index)",
        "(vote.last_index, vote.last_view) >= (node.log.last_index, node.log.last_view)",
        "of two logs the one whose last entry's view is higher is ahead, however long the other is",
    ),
    Mutant(
        "votes-twice", "recovery", "replica/core/election.py",
        "node.leader < 0 and node.voted_for in (-1, peer)", "node.leader < 0",
        "a voter votes for one candidate in a view",
    ),
    Mutant(
        "non-voters-elect", "recovery", "replica/core/election.py",
        "if sum(voter in self.granted for voter in told.voters) < told.majority:", "if len(self.granted) < told.majority:",
        "only voters of the configuration are counted in an election, the candidate too",
    ),
    Mutant(
        "cut-leaves-marks", "recovery", "replica/core/journal.py",
        "        self.marks = deque((batch, min(last, index)) for batch, last in self.marks)\n        if self.durable:",
        "        if self.durable:",
        "a sync of entries that were cut off makes no other entries durable",
    ),
    Mutant(
        "beginning-missed", "recovery", "replica/core/journal.py",
        "if isinstance(record, Began) and record.index <= base:", "if isinstance(record, Began) and record.index < base:",
        "a journal that begins anew beside a snapshot is read from there",
    ),
    Mutant(
        "forgotten-committed-restored", "recovery", "replica/core/restoring.py",
        "for index in range(node.applied_index + 1, node.commit_index + 1):",
        "for index in range(node.applied_index + 1, node.commit_index):",
        "what is known to be committed is not held again after a restart",
    ),
    Mutant(
        "causal-recovered-from-gap", "recovery", "replica/core/recovery.py",
        "            if run.first <= number <= run.last:", "            if run.first <= number + 1 and number <= run.last:",
        "a chain is recovered from its next number on",
        "a test was missing: test_recovery_ends_at_a_hole_of_one_command_however_many_hold_what_follows "
        "(tests/replica/core/test_recovery_holes.py).",
    ),
    Mutant(
        "leader-counted-twice", "session", "replica/core/tallies.py",
        "for place, level in enumerate(accepted) if place != leader), reverse=True)",
        "for place, level in enumerate(accepted)), reverse=True)",
        "the leader is not counted among the other acceptances",
    ),
    Mutant(
        "speculation-outlives-view", "session", "replica/core/session.py",
        "        self.speculated.clear()\n", "",
        "outcomes speculated in an older view are forgotten",
        "nothing changes: an outcome is taken for a number only between the first and the last that the present view's leader speculated,"
        " and its reply for those has overwritten what an older one said; the reset keeps the state small.",
    ),
    Mutant(
        "accepts-of-any-view", "session", "replica/core/session.py",
        "if same_view and accepted > self.accepted[place]:", "if accepted > self.accepted[place]:",
        "acceptances of an older view do not count",
        "a test was missing: test_an_acceptance_of_an_older_view_completes_nothing_in_a_newer_one "
        "(tests/replica/core/test_session_late.py).",
    ),
    Mutant(
        "outcome-outlives-view", "session", "replica/core/flights.py",
        "number in results or (number <= fast and number in speculated)", "number in results or number in speculated",
        "a speculated outcome counts on the fast path only",
    ),
    Mutant(
        "outcome-moves-no-floor", "session", "replica/core/session.py",
        "        self.floor = max(self.floor, self.seen)\n", "",
        "reads behind a cas see what its outcome rests on",
    ),
    Mutant(
        "late-answer-too-old", "session", "replica/core/session.py",
        "            self.least = max(self.least, position)\n", "",
        "an answer from before own writes were applied is not shown once they are not laid over",
    ),
    Mutant(
        "unknown-configuration-counts", "session", "replica/core/client.py",
        "replica == self.leader and self.members.known(config)", "replica == self.leader",
        "a leader's answers count when the voters of its configuration are known",
    ),
    Mutant(
        "flush-before-commit", "session", "replica/core/session.py",
        "while self.flushes and self.flushes[0][0] <= upto:", "while self.flushes and self.flushes[0][0] <= upto + 1:",
        "a flush completes when everything before it is committed",
    ),
    Mutant(
        "dependency-of-later", "session", "replica/core/session.py",
        "if flight.dependency >= number:", "if flight.dependency > number:",
        "a causal read right behind a cas sees what the cas saw",
    ),
    Mutant(
        "expiry-forgets-applied", "session", "statemachine/sessions.py",
        "        self.expired[session] = record.applied\n", "        self.expired[session] = 0\n",
        "an expired session's tombstone keeps its last applied number",
    ),
    Mutant(
        "discard-before-sync", "storage", "replica/storage/log.py",
        '0 < kept[0].first <= self.synced, f"segment', '0 < kept[0].first <= self.written, f"segment',
        "older segments go when what replaces them is durable",
    ),
    Mutant(
        "discard-newest-first", "storage", "replica/storage/jobs.py",
        "        for name in self._names:", "        for name in reversed(self._names):",
        "a removal that a crash cuts short leaves no gap",
    ),
    Mutant(
        "snapshot-unsynced", "storage", "replica/storage/snapshots.py",
        "            self._file.sync()\n            self._file.close()\n            self._disk.rename",
        "            self._file.close()\n            self._disk.rename",
        "a snapshot has its name when it is durable",
    ),
    Mutant(
        "snapshot-chunks-of-another", "storage", "replica/storage/snapshots.py",
        "if number + 1 == self.chunks and (at != self._end or crc_of_all != self._crc):",
        "if number + 1 == self.chunks and at != self._end:",
        "a chunk of another snapshot is not taken for one of this",
        "a test was missing: test_a_chunk_of_another_snapshot_is_refused (tests/replica/storage/test_snapshots.py).",
    ),
    Mutant(
        "settle-not-synced", "storage", "replica/storage/disk.py",
        "        os.fsync(self._fd)\n        os.posix_fadvise", "        os.posix_fadvise",
        "what is read at a start is what the device holds",
        "a test was missing: test_what_memory_holds_of_a_file_is_written_before_it_is_dropped (tests/replica/storage/test_disk.py).",
    ),
    Mutant(
        "calm-without-count", "storage", "replica/storage/syncing.py",
        "            if self._calm >= self._calm_syncs:", "            if self._calm >= 1:",
        "a disk near the limit does not switch with every sync",
    ),
    Mutant(
        "hole-position-off-by-one", "storage", "replica/storage/recovery.py",
        "        found.hole = Hole(place, result.end, found.next_position)",
        "        found.hole = Hole(place, result.end, found.next_position + 1)",
        "a hole is damage if its own position was durable",
    ),
    Mutant(
        "room-without-head", "storage", "replica/storage/records.py",
        "    room_bytes -= HEAD_BYTES\n    for count", "    for count",
        "a batch fits its segment, its head included",
    ),
    Mutant(
        "seals-what-is-not-synced", "storage", "replica/storage/log.py",
        "            if self._failure is None and self.written == self.synced:\n                self.seal()",
        "            if self._failure is None:\n                self.seal()",
        "a closing log is sealed only when all of it is durable",
        "no promise breaks: a seal says what is durable, which is as true behind records that are not; the condition saves a write that "
        "proves nothing about those.",
    ),
    Mutant(
        "facts-failure-forgotten", "storage", "replica/storage/folder.py",
        '            self._failure = DiskFailed(f"{self.disk.path}/{FACTS}", words(error))\n            raise self._failure from error',
        '            raise DiskFailed(f"{self.disk.path}/{FACTS}", words(error)) from error',
        "a fact that may not be durable is never answered as known",
    ),
)
# fmt: on
