"""Sessions: each command takes effect once, its result can be asked for as long as the client may want it, and no longer."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from statemachine import sessions as limits
from statemachine.moment import InvalidSnapshot
from statemachine.sessions import SessionRecord, Sessions

EXPIRED_MAX = 3


class ClientModel:
    """What one client knows of its session."""

    def __init__(self, token: bytes, session: int) -> None:
        self.token = token
        self.session = session
        self.results: list[bool | None] = []  # of command 1, 2, ...
        self.incomplete = 1


class Telling:
    """A snapshot that is being taken, what it must come to, and what it told so far."""

    def __init__(self, sessions: Sessions) -> None:
        self.frozen, self.of = sessions.freeze(), sessions
        self.snapshot = sessions.snapshot()
        self.told: list[list[object]] = []

    def take(self) -> bool:
        """Take one chunk; returns whether it was the last, and checks the whole then."""
        chunk = next(iter(self.snapshot), None)
        if chunk is not None:
            self.told.append(chunk)
            return False
        assert len(self.told) == len(self.snapshot)
        for rows in self.told[1:]:
            assert 1 <= len(rows) <= limits.CHUNK_SESSIONS
            assert len(rows) == 1 or sum(len(row[4]) for row in rows) <= limits.CHUNK_RESULTS  # type: ignore[index, misc]
        assert Sessions.restore(self.told, EXPIRED_MAX).freeze() == self.frozen
        return True


class SessionsModel(RuleBasedStateMachine):
    """Clients open, send runs of commands, resend from anywhere, and end; the table is copied and restored on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.sessions = Sessions(EXPIRED_MAX)
        self.position = 0
        self.clients: list[ClientModel] = []
        self.expired: dict[int, int] = {}
        self.closed: set[int] = set()
        self.copies: list[tuple[Sessions, object]] = []
        self.tellings: list[Telling] = []

    @rule(number=st.integers(0, 4))
    def open(self, number: int) -> None:
        self.position += 1
        token = b"token %d" % number
        known = [client.session for client in self.clients if client.token == token]
        session = self.sessions.open(self.position, token, 10.0)
        assert session == (known[0] if known else self.position)
        if not known:
            self.clients.append(ClientModel(token, session))

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), results=st.none() | st.lists(st.none() | st.booleans(), min_size=1, max_size=4), count=st.integers(1, 4))
    def send_a_run_from_anywhere(self, data: st.DataObject, results: list[bool | None] | None, count: int) -> None:
        """As a leader does with a retry: what is applied already is cut off, the rest is applied."""
        client = data.draw(st.sampled_from(self.clients))
        applied = self.sessions.applied(client.session)
        assert applied == len(client.results)
        first = data.draw(st.integers(client.incomplete, applied + 1))
        count = len(results) if results else count
        again = applied + 1 - first
        if count > again:
            client.incomplete = data.draw(st.integers(client.incomplete, first))
            self.sessions.record(client.session, first + again, count - again, results and results[again:], client.incomplete)
            client.results += results[again:] if results else [None] * (count - again)

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), expire=st.booleans())
    def end(self, data: st.DataObject, *, expire: bool) -> None:
        client = data.draw(st.sampled_from(self.clients))
        self.clients.remove(client)
        if expire:
            assert self.sessions.expire(client.session)
            self.expired[client.session] = len(client.results)
            self.expired = dict(list(self.expired.items())[-EXPIRED_MAX:])
        else:
            assert self.sessions.close(client.session)
            self.closed.add(client.session)
        assert not self.sessions.expire(client.session)
        assert not self.sessions.close(client.session)

    @rule()
    def begin_a_snapshot(self) -> None:
        self.tellings.append(Telling(self.sessions))

    @precondition(lambda self: self.tellings)
    @rule(data=st.data())
    def take_a_chunk(self, data: st.DataObject) -> None:
        place = data.draw(st.integers(0, len(self.tellings) - 1))
        if self.tellings[place].take():
            del self.tellings[place]

    @precondition(lambda self: self.tellings)
    @rule()
    def drop_a_snapshot(self) -> None:
        sessions = self.tellings.pop().of
        assert len(sessions._moments) == sum(telling.of is sessions for telling in self.tellings)

    def teardown(self) -> None:
        for telling in self.tellings:
            while not telling.take():
                pass

    @rule()
    def restore(self) -> None:
        self.sessions = Sessions.restore(self.sessions.snapshot(), EXPIRED_MAX)

    @rule()
    def copy(self) -> None:
        self.copies.append((self.sessions, self.sessions.freeze()))
        self.sessions = self.sessions.clone()
        assert self.sessions.freeze() == self.copies[-1][1]

    @invariant()
    def results_are_kept_from_the_first_incomplete_on_as_far_as_there_is_room(self) -> None:
        for client in self.clients:
            numbers = range(1, len(client.results) + 3)
            oldest = max(client.incomplete, (len(client.results) - limits.RESULTS_MAX) // limits.RESULTS_STEP * limits.RESULTS_STEP)
            known = {number: result for number, result in enumerate(client.results, 1) if number >= oldest}
            assert [self.sessions.result(client.session, number) for number in numbers] == [known.get(number) for number in numbers]
            assert len(self.sessions.table[client.session].results) <= len(known)

    @invariant()
    def the_table_is_what_clients_know(self) -> None:
        assert sorted(self.sessions.table) == sorted(client.session for client in self.clients)
        assert len(self.sessions) == len(self.clients)
        assert self.sessions.tokens == {client.token: client.session for client in self.clients}
        assert self.sessions.expired == self.expired
        assert all(self.sessions.applied(session) == applied for session, applied in self.expired.items())
        assert all(self.sessions.applied(session) is None and self.sessions.result(session, 1) is None for session in self.closed)

    @invariant()
    def copies_stay_as_they_were(self) -> None:
        assert all(sessions.freeze() == frozen for sessions, frozen in self.copies)


SessionsModel.TestCase.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
TestSessions = pytest.mark.usefixtures("small_sizes")(SessionsModel.TestCase)


def test_a_command_out_of_order_is_a_bug() -> None:
    sessions = Sessions()
    session = sessions.open(7, b"token", 10.0)
    sessions.record(session, 1, 3, None, 1)
    for first in (3, 5):
        with pytest.raises(AssertionError, match="after 3"):
            sessions.record(session, first, 1, None, 1)


def test_the_first_lease_holds_when_a_client_opens_again() -> None:
    sessions = Sessions()
    assert sessions.open(7, b"token", 10.0) == sessions.open(9, b"token", 99.0) == 7
    assert sessions.table == {7: SessionRecord(b"token", 10.0)}


def test_a_token_whose_session_ended_opens_a_new_one() -> None:
    sessions = Sessions()
    sessions.expire(sessions.open(7, b"token", 10.0))
    assert sessions.open(9, b"token", 10.0) == 9
    assert (sessions.applied(7), sessions.applied(9)) == (0, 0)


def test_equal_tables_freeze_alike_whatever_the_order_they_came_in() -> None:
    a, b = Sessions(), Sessions()
    for position in (1, 2):
        a.open(position, b"token %d" % position, 1.0)
    for position in (2, 1):
        b.open(position, b"token %d" % position, 1.0)
    assert a.freeze() == b.freeze()
    assert hash(a.freeze()) == hash(b.freeze())
    b.record(1, 1, 1, [True], 1)
    assert a.freeze() != b.freeze()


@pytest.mark.parametrize(
    "chunks",
    [[], [[]], [[1]], [[1, []]], [[0, []], [[1, b"t", 1.0, 0]]], [[1, 5]], [[0, []], 5], [[0, []], [[1, b"t", 1.0, 0, []]]]],
    ids=repr,
)
def test_a_damaged_snapshot_is_refused(chunks: list[list[object]]) -> None:
    with pytest.raises(InvalidSnapshot):
        Sessions.restore(chunks)


def test_the_rest_of_a_session_is_kept_when_a_run_has_results() -> None:
    sessions = Sessions()
    sessions.open(1, b"token", 10.0)
    sessions.record(1, 1, 3, [True, None, False], 1)
    sessions.record(1, 4, 2, None, 2)
    assert [sessions.result(1, number) for number in range(1, 6)] == [None, None, False, None, None]
    assert sessions.table[1].results == {3: False}


def test_a_snapshot_keeps_only_what_changed_before_it_was_told() -> None:
    sessions = Sessions()
    for position in range(1, 2049):
        sessions.open(position, b"token %d" % position, 10.0)
    snapshot = sessions.snapshot()
    chunks = [next(iter(snapshot)), next(iter(snapshot))]
    for session in (1, 1024, 1025, 2048):  # two were told, two were not
        sessions.record(session, 1, 1, [True], 1)
    sessions.close(2000)
    sessions.open(3000, b"new", 10.0)
    sessions.record(3000, 1, 1, None, 1)
    assert [sorted(moment.past) for moment in sessions._moments] == [[1025, 2000, 2048]]
    chunks += snapshot
    told = Sessions.restore(chunks)
    assert sorted(told.table) == list(range(1, 2049))
    assert [told.applied(session) for session in (1, 1024, 1025, 2000, 2048)] == [0, 0, 0, 0, 0]
    assert sessions._moments == []


def test_a_client_that_never_says_what_it_has_fills_nobody_s_memory() -> None:
    """And what is forgotten does not depend on how its commands were batched."""
    at_once, one_by_one = Sessions(), Sessions()
    count = limits.RESULTS_MAX + limits.RESULTS_STEP + 5
    for table, runs in ((at_once, [count]), (one_by_one, [1] * count)):
        table.open(1, b"token", 10.0)
        for run in runs:
            table.record(1, table.applied(1) + 1, run, [True] * run, 1)  # type: ignore[operator]
    assert at_once.freeze() == one_by_one.freeze()
    assert list(at_once.table[1].results) == list(range(limits.RESULTS_STEP, count + 1))


def test_results_that_many_sessions_keep_are_told_in_more_chunks() -> None:
    table = Sessions()
    for session in range(1, 601):
        table.open(session, b"token %d" % session, 10.0)
        table.record(session, 1, 500, [True] * 500, 1)
    snapshot = table.snapshot()
    chunks = list(snapshot)
    assert len(chunks) == len(snapshot) == 6
    assert max(sum(len(row[4]) for row in rows) for rows in chunks[1:]) <= limits.CHUNK_RESULTS  # type: ignore[index, misc]
    assert Sessions.restore(chunks).freeze() == table.freeze()
