"""The peers' listener tells its health to verified peers, and to nobody else."""

from __future__ import annotations

import grpc
import pytest
from grpc_health.v1 import health_pb2

from gateway.rpc.credentials import TransportLimits, open_channel
from mesh.shares import PeerState
from tests.support.hubs import two


async def test_a_verified_peer_may_ask_and_a_suspended_one_may_not() -> None:
    async with two(globex_dials=False) as both:
        assert both.acme.listener is not None
        us, them = both.globex.organization, both.acme.organization
        async with open_channel(us.identity(), them.trust(), both.acme.listener.address, TransportLimits()) as channel:
            check = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            found = await check(health_pb2.HealthCheckRequest(service="mesh.wire.v1.Link"), timeout=10)
            assert found.status == health_pb2.HealthCheckResponse.SERVING
            await both.acme.registry.set_peer_state(us.org, PeerState.SUSPENDED)
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await check(health_pb2.HealthCheckRequest(), timeout=10)
            assert refused.value.code() in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE}
