"""The seam to the client: the real one and the fake one both have what the runner needs."""

from __future__ import annotations

import inspect

import attrs
import pytest

from loadgen.driver import LoadClient, LoadDriver, LoadSession
from loadgen.history import RecordedSession
from replica.client_driver import ClientDriver
from replica.core.client import Client
from replica.core.session import Session
from tests.loadgen.fakes import FakeDriver, FakeSession


@pytest.mark.parametrize(
    ("protocol", "kinds"),
    [(LoadSession, (Session, FakeSession, RecordedSession)), (LoadClient, (Client, FakeDriver)), (LoadDriver, (ClientDriver, FakeDriver))],
)
def test_all_have_the_same_methods(protocol: type, kinds: tuple[type, ...]) -> None:
    wanted = {name: member for name, member in vars(protocol).items() if not name.startswith("_")}
    assert wanted
    for kind in kinds:
        fields = {field.name for field in attrs.fields(kind)} if attrs.has(kind) else set()
        for name, member in wanted.items():
            if inspect.isfunction(member):
                found = inspect.signature(getattr(kind, name)).parameters.values()
                assert [one.name for one in found if one.default is one.empty] == list(inspect.signature(member).parameters)
            else:
                assert name in fields or isinstance(inspect.getattr_static(kind, name), property)
