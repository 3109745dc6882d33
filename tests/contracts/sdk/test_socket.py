"""A Unix socket is an address as any other."""

from __future__ import annotations

from pathlib import Path

from gateway.unix_socket import SocketPath
from mesh.sdk import Client
from tests.support.local_grpc import local_grpc


async def test_the_sdk_speaks_to_a_gateway_over_a_unix_socket(tmp_path: Path) -> None:
    async with local_grpc(tmp_path, SocketPath(tmp_path / "mesh.sock")) as local:
        await local.cluster.topics.create("orders", 1, {})
        async with Client(local.listening.address, token=local.tokens()[0]) as client:
            await client.publish("orders", "a")
            assert [record.value async for record in client.read("orders", until_end=True)] == [b"a"]
