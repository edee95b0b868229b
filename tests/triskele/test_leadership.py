from __future__ import annotations

import pytest

from replica.admin import Page, json_page, text_page
from tests.triskele.admin_stand import Stand, follows, leads, stand
from triskele.leadership import LeadershipError, Transfer, find_leader, transfer_leader


async def failure(stood: Stand, to: int | None = None, timeout: float = 5.0) -> str:
    with pytest.raises(LeadershipError) as caught:
        await transfer_leader(stood.cluster, to, timeout=timeout)
    return str(caught.value)


async def test_who_leads_the_highest_view_is_the_leader() -> None:
    async with stand(leads(0, 3), leads(1, 4), follows(2, 4)) as stood:
        rows = [row for row in stood.rows if row]
        found = find_leader(stood.cluster, rows)
        assert found is not None
        assert (found.id, found.view, found.admin) == (1, 4, stood.cluster.replica(1).admin)
        assert find_leader(stood.cluster, [follows(0, 1, "candidate"), follows(1, 1, "recovering"), {"id": 2, "error": "x"}]) is None


@pytest.mark.parametrize(("to", "query"), [(None, {}), (1, {"to": "1"})])
async def test_a_transfer_is_asked_of_the_leader_and_waits_until_another_leads(to: int | None, query: dict[str, str]) -> None:
    async with stand(follows(0, 3), follows(1, 3), leads(2, 3)) as stood:
        steps = iter([[follows(0, 3), follows(1, 4, "recovering"), leads(2, 3)], [follows(0, 4), leads(1, 4), leads(2, 3)]])

        def begin() -> None:
            stood.rows[:] = next(steps, stood.rows)

        def transfer() -> Page:
            stood.on_status = begin
            return json_page({"from": 2, "to": 1})

        stood.on_transfer = transfer
        assert await transfer_leader(stood.cluster, to) == Transfer(2, 1, 4)
        assert stood.asked == [(2, query)]


async def test_a_refusal_is_told_in_the_leader_s_words() -> None:
    async with stand(leads(0, 1), follows(1, 1)) as stood:
        stood.on_transfer = lambda: text_page("replica 1 is not linked to the leader, replica 0\n", 409)
        assert await failure(stood, 1) == "replica 1 is not linked to the leader, replica 0"
        stood.on_transfer = lambda: text_page("", 500)
        assert await failure(stood, 1) == "replica 0 refused (HTTP 500)"


async def test_without_a_leader_it_is_said_what_the_replicas_are() -> None:
    async with stand(follows(0, 2, "candidate"), follows(1, 1), None) as stood:
        said = await failure(stood)
        assert said.startswith("nobody leads: replica 0 is candidate in view 2, replica 1 is follower in view 1, replica 2 http://")
        assert said.endswith("Connection refused")
        assert stood.asked == []


async def test_when_nothing_comes_of_it_that_is_said() -> None:
    async with stand(leads(0, 1), follows(1, 1)) as stood:
        expected = "replica 1 did not take over within 0.2 s: replica 0 is leader in view 1, replica 1 is follower in view 1"
        assert await failure(stood, timeout=0.2) == expected


async def test_the_old_leader_in_a_higher_view_is_no_transfer() -> None:
    async with stand(leads(0, 1), follows(1, 1)) as stood:
        stood.on_status = lambda: stood.rows.__setitem__(0, leads(0, 2 if stood.asked else 1))
        assert (await failure(stood, timeout=0.2)).endswith("replica 0 is leader in view 2, replica 1 is follower in view 1")


async def test_another_than_the_wanted_one_is_a_failure() -> None:
    async with stand(leads(0, 1), follows(1, 1), follows(2, 1)) as stood:
        stood.on_status = lambda: stood.rows.__setitem__(2, leads(2, 2) if stood.asked else follows(2, 1))
        assert await failure(stood, 1) == "replica 2 leads view 2, not replica 1"
