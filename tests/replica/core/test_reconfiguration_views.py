"""The bug of single-server changes (Ongaro, raft-dev, 2015) and the rule against it, acted out; the story is ``own_entry_comes_first``.

No simulated world has started with four voters and gone wrong just so, hence the mistake is planted here by itself.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from replica.core.reconfiguration import ChangeRefused, Reconfiguration
from statemachine.command import CONFIG, NOOP
from tests.scenarios.cluster import Cluster

if TYPE_CHECKING:
    import pytest

    from replica.core.configuration import Configuration
    from replica.core.messages import Entry


def forget_the_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a leader log a change whether or not an entry of its view is committed."""

    def begin(self: Reconfiguration, wanted: Configuration) -> None:
        self.leader.log_configuration(wanted)

    monkeypatch.setattr(Reconfiguration, "_begin", begin)


def two_leaders() -> Cluster:
    """Four voters: r0 has begun to remove r1 and is cut off; r1 leads view 2, and the first entry of its view is on its way."""
    cluster = Cluster(4, durable=True)
    reconfiguration = cluster.replicas[0].reconfiguration
    assert reconfiguration is not None
    reconfiguration.remove(1)
    cluster.turn(0)
    for other in (1, 2, 3):
        cluster.cut(0, other)
    cluster.campaign(1)
    while cluster.replicas[1].roles.name != "leader":
        for pair in ((1, 2), (1, 3), (2, 1), (3, 1)):
            while cluster.queues.get(pair) and cluster.replicas[1].roles.name != "leader":
                cluster.deliver(*pair)
    return cluster


def act(cluster: Cluster) -> list[Entry | None]:
    """Let r1 remove r0 with r2, then r0 win with r3; returns what each of the two has committed where r0 wrote its change, None for nothing."""
    reconfiguration = cluster.replicas[1].reconfiguration
    assert reconfiguration is not None
    place = cluster.replicas[0].node.log.last_index
    with suppress(ChangeRefused):
        reconfiguration.remove(0)
    cluster.turn(1)
    cluster.cut(1, 3)
    cluster.settle(1, 2)
    cluster.link(0, 3)
    cluster.settle(0, 3)
    cluster.campaign(0)
    cluster.settle(0, 3)
    nodes = [cluster.replicas[leader].node for leader in (1, 0)]
    return [node.log.get(place) if node.commit_index >= place else None for node in nodes]


def test_who_changes_before_an_entry_of_its_view_is_committed_can_lose_what_it_commits(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = two_leaders()
    forget_the_rule(monkeypatch)
    one, other = act(cluster)
    assert one is not None
    assert other is not None
    assert (one.system, other.system[0][0]) == ([[NOOP]], CONFIG), "one place of the log, and two committed entries there"


def test_with_the_rule_only_one_of_them_commits_anything() -> None:
    assert None in act(two_leaders())
