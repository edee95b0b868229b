"""Resending: the clock's part of it (what is sent again: test_client_resending)."""

from __future__ import annotations

import math

from replica.core.client import Client, ClientConfig


def test_nobody_looks_while_nothing_is_on_its_way() -> None:
    client = Client(ClientConfig(voters=(0, 1, 2)))
    assert client.resending.at == math.inf
    client.resending.arm()
    assert client.resending.at == client.config.resend_seconds / 2
    client.resending.check(5.0)
    assert client.resending.at == math.inf
