"""Errors say who erred, and carry a short reason for counters."""

from __future__ import annotations

from transport.errors import AddressInUse, DialFailed, HandshakeRefused, LinkClosed, LocalMisuse, RemoteMisbehaviour, TransportError


def test_reasons_are_short_and_details_are_for_people() -> None:
    assert (DialFailed(detail="cannot reach x:1").reason, str(DialFailed(detail="cannot reach x:1"))) == (
        "dial_failed",
        "dial_failed: cannot reach x:1",
    )
    assert str(LinkClosed()) == "closed"
    assert TransportError("own_reason").reason == "own_reason"


def test_a_refusal_keeps_its_word() -> None:
    refused = HandshakeRefused("wrong_cluster")
    assert (refused.why, refused.reason) == ("wrong_cluster", "handshake_refused:wrong_cluster")
    assert isinstance(refused, RemoteMisbehaviour)


def test_an_address_in_use_is_named() -> None:
    assert "127.0.0.1:7400" in str(AddressInUse("127.0.0.1:7400"))


def test_our_own_mistakes_are_never_swallowed_with_a_connection() -> None:
    assert not issubclass(LocalMisuse, TransportError)
