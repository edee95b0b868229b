from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from replica.core.config import MODES, Mode
from tests.scenarios.cluster import Cluster

if TYPE_CHECKING:
    from replica.core.messages import Value
    from replica.core.session import Session


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("waiting", [True, False])
def test_reads_see_what_their_session_did_before_them(mode: Mode, seed: int, waiting: bool) -> None:
    """One session alone on its keys, frames in any order between places; a read that is not waited for may see what came after it too."""
    rng = random.Random(seed)
    cluster = Cluster(3, mode)
    (session,) = cluster.open("s")
    history: dict[bytes, list[Value]] = {b"x": [None], b"y": [None], b"z": [None]}
    asked: dict[int, list[tuple[bytes, int]]] = {}
    for step in range(60):
        _act(rng, cluster, session, history, b"%d" % step)
        keys = [rng.choice((b"x", b"y", b"z")) for _ in range(rng.randint(1, 3))]
        asked[step] = [(key, len(history[key]) - 1) for key in keys]
        (cluster.strong_read if rng.random() < 0.5 else cluster.causal_read)(session, *keys, handle=step)
        for pair in rng.sample(sorted(cluster.queues, key=str), len(cluster.queues)):
            if cluster.queues[pair] and rng.random() < 0.5:
                cluster.deliver(*pair)
        cluster.now += 0.0005
        while waiting and not session.idle:
            cluster.run(0.002)
    cluster.run(1.0, delay=0.002)
    for step, reads in asked.items():
        for (key, since), value in zip(reads, cluster.values(step), strict=True):
            assert value in history[key][since:]
            assert not waiting or value == history[key][since]


def _act(rng: random.Random, cluster: Cluster, session: Session, history: dict[bytes, list[Value]], value: bytes) -> None:
    key = rng.choice(list(history))
    kind, now = rng.choice(("put", "causal", "delete", "cas", "cas")), history[key][-1]
    assert now is None or isinstance(now, bytes)
    if kind == "delete":
        cluster.delete(session, key, causal=rng.random() < 0.5)
        history[key].append(None)
    elif kind == "cas":
        guess = rng.choice((now, b"wrong"))
        if guess == now:
            history[key].append(value)
        cluster.cas(session, key, guess, value)
    else:
        cluster.put(session, key, value, causal=kind == "causal")
        history[key].append(value)
