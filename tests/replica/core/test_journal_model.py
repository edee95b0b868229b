"""Whatever happened to a replica, its journal tells it: who starts with it is what the replica was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from replica.core.journal import Durable
from replica.core.replica import Replica
from tests.scenarios.cluster import Cluster

if TYPE_CHECKING:
    from replica.core.config import Mode
    from replica.core.session import Session

STEPS = st.lists(st.tuples(st.sampled_from(("put", "causal", "read", "deliver", "deliver", "deliver", "campaign", "isolate", "rejoin", "wait")),
                           st.integers(0, 59)), min_size=10, max_size=80)  # fmt: skip


def do(cluster: Cluster, step: str, choice: int, sessions: list[Session]) -> None:
    session, key, place = sessions[choice % 2], b"k%d" % (choice // 2 % 3), choice % len(cluster.replicas)
    match step:
        case "put" | "causal":
            cluster.put(session, key, b"v%d" % choice, causal=step == "causal")
        case "read":
            cluster.strong_read(session, key)
        case "deliver":
            pairs = [pair for pair, frames in cluster.queues.items() if frames]
            if pairs:
                pair = pairs[choice % len(pairs)]
                for _ in range(1 + choice % 3):
                    if cluster.queues.get(pair):
                        cluster.deliver(*pair)
        case "campaign":
            cluster.replicas[place].follower.leader_seen_at = -1e9
            cluster.campaign(place)
        case "isolate":
            cluster.isolate(place)
        case "rejoin":
            cluster.rejoin(place)
        case _:
            cluster.run(0.1, delay=0.02)


def looks(replica: Replica) -> dict[str, object]:
    """Everything a disk must tell."""
    node = replica.node
    chains = {
        session: (
            chain.committed, chain.anchored, chain.accepted, chain.held,
            [(run.first + place, key, value) for run in chain.runs for place, (key, value) in enumerate(zip(run.keys, run.values, strict=True))],
            chain.loose,
        )
        for session, chain in node.witness.chains.items()
    }  # fmt: skip
    return {
        "voted": (node.view, node.voted_for), "log": list(node.log.entries), "commit": node.commit_index, "store": node.store.freeze(),
        "sessions": node.sessions.freeze(), "chains": chains, "anchored": node.witness.anchored, "commands": node.witness.commands,
        "bytes": node.witness.value_bytes, "durable": node.journal.durable_index,
    }  # fmt: skip


def reborn(cluster: Cluster, place: int) -> Replica:
    """Start a replica with another's journal; commits that nothing was written with are told too."""
    durable = Durable()
    durable.replay(cluster.disks[place].records + cluster.replicas[place].node.journal.records)
    replica = Replica(cluster.configs[place], durable)
    while replica.apply(1 << 30):
        pass
    replica.node.witness.check_invariants()
    return replica


@pytest.mark.parametrize("mode", ["ho", "ht", "curp"])
def test_the_journal_tells_the_replica(mode: Mode) -> None:
    @settings(max_examples=60, deadline=None)
    @given(STEPS)
    def check(steps: list[tuple[str, int]]) -> None:
        cluster = Cluster(3, mode, durable=True, election_seconds=0.5)
        sessions: list[Session] = [*cluster.open("a", "b")]
        for step, choice in steps:
            do(cluster, step, choice, sessions)
        for place, replica in cluster.replicas.items():
            assert looks(reborn(cluster, place)) == looks(replica)

    check()


def test_the_model_can_fail() -> None:
    cluster = Cluster(durable=True)
    (session,) = cluster.open("s")
    cluster.put(session, b"x", b"1")
    cluster.deliver("c", 1)
    del cluster.disks[1].records[-2:]
    assert looks(reborn(cluster, 1)) != looks(cluster.replicas[1])
