from __future__ import annotations

from typing import Any

import pytest

from replica.admin import json_page, text_page
from tests.triskele.admin_stand import follows, leads, stand
from triskele.leadership import LeadershipError
from triskele.membership import MembershipError, add_member, read_members, remove_member, wait_for_voter


def membership(*members: tuple[int, str], pending: bool = False, removed: tuple[int, ...] = (), replacing: Any = ()) -> dict[str, Any]:
    rows = [{"id": number, "role": role, "address": f"h:{number}", "linked": True, "behind": 2} for number, role in members]
    return {
        "id": 0,
        "leader": 0,
        "view": 1,
        "config_id": 2,
        "pending": pending,
        "members": rows,
        "removed": list(removed),
        "replacing": list(replacing),
    }


async def test_the_leader_tells_who_belongs_to_the_cluster() -> None:
    async with stand(follows(0, 1), leads(1, 1)) as stood:
        stood.on_members = lambda: json_page(membership((0, "voter"), (1, "voter")))
        assert (await read_members(stood.cluster))["config_id"] == 2
        answers = iter([json_page(membership((0, "voter"), (1, "voter")))] * 2)  # who belongs to it is asked of both
        stood.on_members = lambda: next(answers, text_page("no", 500))
        with pytest.raises(MembershipError, match=r"replica 1 does not tell \(HTTP 500\)"):
            await read_members(stood.cluster)


async def test_a_change_is_over_when_it_is_committed() -> None:
    async with stand(leads(0, 1)) as stood:
        answers = iter([membership((0, "voter"), pending=True)] * 2)
        stood.on_members = lambda: json_page(next(answers, membership((0, "voter"), (3, "learner"))))
        told = await add_member(stood.cluster, 3, "h:3", 0)
        assert [row["id"] for row in told["members"]] == [0, 3]
        assert stood.asked == [(0, {"id": "3", "address": "h:3", "replaces": "0"})]


async def test_a_removal_is_over_when_the_id_is_among_the_removed() -> None:
    async with stand(leads(0, 1)) as stood:
        answers = iter([membership((0, "voter"), (1, "voter"))] * 2)
        stood.on_members = lambda: json_page(next(answers, membership((0, "voter"), removed=(1,))))
        assert (await remove_member(stood.cluster, 1))["removed"] == [1]


async def test_a_leader_is_removed_when_another_leads() -> None:
    async with stand(leads(0, 1)) as stood:
        answers = iter([membership((1, "voter"), removed=(0,))] * 2)
        stood.on_members = lambda: json_page(next(answers, membership((1, "voter"), removed=(0,)) | {"leader": 1}))
        assert (await remove_member(stood.cluster, 0))["leader"] == 1


async def test_a_refusal_is_told_in_the_leader_s_words() -> None:
    async with stand(leads(0, 1)) as stood:
        stood.on_members = lambda: text_page("replica 3 is a member already\n", 409)
        with pytest.raises(MembershipError, match=r"^replica 3 is a member already$"):
            await add_member(stood.cluster, 3, "h:3")


async def test_without_a_leader_nothing_is_asked() -> None:
    async with stand(follows(0, 2, "candidate")) as stood:
        with pytest.raises(LeadershipError, match="nobody leads: replica 0 is candidate in view 2"):
            await remove_member(stood.cluster, 1)
        assert stood.asked == []


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (membership((0, "voter"), (3, "learner")), "it is a learner, linked, 2 entries behind"),
        (membership((0, "voter")), "it is no member"),
        (membership((0, "voter"), (3, "voter"), replacing=[[3, 0]]), "it is a voter, linked, 2 entries behind"),
        (membership((0, "voter"), (3, "voter"), pending=True), "it is a voter, linked"),
    ],
)
async def test_who_does_not_vote_in_time_is_described(told: dict[str, Any], said: str) -> None:
    async with stand(leads(0, 1)) as stood:
        stood.on_members = lambda: json_page(told)
        with pytest.raises(MembershipError, match=f"replica 3 does not vote after 0.1 s: {said}"):
            await wait_for_voter(stood.cluster, 3, 0.1)


async def test_who_votes_at_last_is_waited_for() -> None:
    async with stand(leads(0, 1)) as stood:
        answers = iter([membership((3, "learner"))] * 2)
        stood.on_members = lambda: json_page(next(answers, membership((3, "voter"))))
        assert (await wait_for_voter(stood.cluster, 3, 20.0))["members"][0]["role"] == "voter"
