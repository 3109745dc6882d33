"""A gateway in memory and a client of it, which gives up soon."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from mesh.sdk import Client
from mesh.testing import LocalGateway


@pytest.fixture
def gateway() -> Iterator[LocalGateway]:
    with LocalGateway() as gateway:
        gateway.create_topic("orders")
        yield gateway


@pytest.fixture
async def client(gateway: LocalGateway) -> AsyncIterator[Client]:
    async with gateway.client(patience_s=20.0, publish_timeout_s=20.0) as client:
        yield client
