"""The local gRPC listener: who is let in, what it says of itself, and what one application may take of it."""

from __future__ import annotations

import os
import socket
import stat
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from gateway.address import Address
from gateway.admin.token import TokenFileUnsafe
from gateway.http.errors import AddressRefused, PortInUse
from gateway.local.doors import grpc_door, local_doors
from gateway.local_address import NotLocal, local_address
from gateway.unix_socket import SocketPath, SocketPathTooLong
from mesh.local.v1 import local_pb2 as pb
from tests.support.hubs import until
from tests.support.local_calls import LocalCalls, Refused, serialized, told, values
from tests.support.local_grpc import RunningGrpc, local_grpc

STATES = health_pb2.HealthCheckResponse


async def check(channel: grpc.aio.Channel, service: str = "") -> int:
    call = channel.unary_unary(
        "/grpc.health.v1.Health/Check", request_serializer=serialized, response_deserializer=STATES.FromString
    )
    return int((await call(health_pb2.HealthCheckRequest(service=service), timeout=20)).status)


async def test_health_is_told_to_anybody_and_watched(tmp_path: Path) -> None:
    async with local_grpc(tmp_path) as local:
        channel = local.calls.channel
        assert await check(channel) == await check(channel, "mesh.local.v1.Local") == STATES.SERVING
        with pytest.raises(grpc.aio.AioRpcError) as unknown:
            await check(channel, "other")
        assert unknown.value.code() is grpc.StatusCode.NOT_FOUND
        watch = channel.unary_stream(
            "/grpc.health.v1.Health/Watch", request_serializer=serialized, response_deserializer=STATES.FromString
        )(health_pb2.HealthCheckRequest(), timeout=20)

        async def next_state() -> int:
            found = await watch.read()
            assert isinstance(found, STATES)
            return int(found.status)

        assert await next_state() == STATES.SERVING
        local.admin.health.stopping()
        assert await next_state() == STATES.NOT_SERVING
        assert await check(channel) == STATES.NOT_SERVING


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
async def test_reflection_names_the_service_and_its_messages_to_whoever_has_a_token(
    tmp_path: Path, version: str
) -> None:
    async with local_grpc(tmp_path) as local:

        async def asked(token: str, **request: str) -> reflection_pb2.ServerReflectionResponse:
            call = local.calls.channel.stream_stream(
                f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
                request_serializer=serialized,
                response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
            )
            message = reflection_pb2.ServerReflectionRequest(**request)
            return await told(call(iter([message]), metadata=(("mesh-api-token", token),), timeout=20).read())

        services = await asked(local.calls.token, list_services="")
        assert "mesh.local.v1.Local" in {each.name for each in services.list_services_response.service}
        found = await asked(local.calls.token, file_containing_symbol="mesh.local.v1.Local")
        assert b"PublishMany" in found.file_descriptor_response.file_descriptor_proto[0]
        with pytest.raises(Refused, match="api-token-refused"):
            await asked("wrong", list_services="")


async def test_two_tokens_are_valid_at_a_time_and_rotate_without_a_restart(tmp_path: Path) -> None:
    async with local_grpc(tmp_path) as local:
        path = local.tokens.path
        path.write_text(f"second\n{local.calls.token}\n")
        os.utime(path, ns=(1, 1))
        topics = pb.TopicsRequest()
        for token in ("second", local.calls.token):
            await LocalCalls(local.calls.channel, token).ask("Topics", topics, pb.TopicsReply)
        path.write_text("second\n")
        os.utime(path, ns=(2, 2))
        for token in (local.calls.token, local.admin.token):
            with pytest.raises(Refused, match="api-token-refused"):
                await LocalCalls(local.calls.channel, token).ask("Topics", topics, pb.TopicsReply)


async def test_it_listens_on_a_socket_of_its_user_alone(tmp_path: Path) -> None:
    place = SocketPath(tmp_path / "local.sock")
    async with local_grpc(tmp_path, place) as local:
        assert local.listening.address == f"unix:{place.path}"
        assert stat.S_IMODE(place.path.stat().st_mode) == 0o600
        await local.calls.ask("Status", pb.StatusRequest(), pb.StatusReply)
        with pytest.raises(PortInUse):
            await grpc_door(place, local.api.services.config.local)
        await local.calls.ask("Status", pb.StatusRequest(), pb.StatusReply)
    assert not place.path.exists()
    with socket.socket(socket.AF_UNIX) as left:  # as a kill leaves it
        left.bind(str(place.path))
    door = await grpc_door(place, local.api.services.config.local)
    await door.close()


async def test_a_place_that_it_may_not_have_is_refused_and_the_other_one_given_back(tmp_path: Path) -> None:
    async with local_grpc(tmp_path) as local:
        taken = local_address(local.listening.address)
        known = local.api.services.config.local
        free = SocketPath(tmp_path / "http.sock")
        with pytest.raises(PortInUse, match="local gRPC"):
            await local_doors(free, taken, known, tmp_path)
        assert not free.path.exists()
        with pytest.raises(PortInUse, match="local HTTP"):
            await local_doors(taken, None, known, tmp_path)
        assert await local_doors(None, None, known, tmp_path) is None
        (tmp_path / "local.token").chmod(0o644)
        with pytest.raises(TokenFileUnsafe):
            await local_doors(free, None, known, tmp_path)
        with pytest.raises(AddressRefused, match="directory"):
            await grpc_door(SocketPath(tmp_path / "absent" / "s"), known)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("0.0.0.0:7461", NotLocal),
        ("example.com:1", NotLocal),
        ("unix:relative", NotLocal),
        (f"unix:/{'x' * 107}", SocketPathTooLong),
    ],
)
def test_a_place_that_is_not_this_machine_s_alone_is_none(text: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        local_address(text)
    assert local_address("[::1]:0") == Address("::1", 0)


async def test_a_request_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    async with local_grpc(tmp_path, max_request_bytes=100_000) as local:
        await local.cluster.topics.create("orders", 1, {})
        with pytest.raises(Refused) as refused:
            await local.calls.publish("orders", [b"x" * 200_000])
        assert refused.value.status == "RESOURCE_EXHAUSTED"
        assert await local.calls.all_of("orders") == []


async def test_streams_are_bounded_and_free_again_when_they_end(tmp_path: Path) -> None:
    async with local_grpc(tmp_path, max_streams=2) as local:
        await local.cluster.topics.create("orders", 1, {})
        async with local.calls.read("orders"), local.calls.read("orders"):
            with pytest.raises(Refused) as refused:
                await local.calls.all_of("orders")
            assert (refused.value.status, refused.value.code) == ("UNAVAILABLE", "too-many-readers")
        await until_free(local)


async def until_free(local: RunningGrpc) -> None:
    """Until the gateway knows that nobody reads any more."""
    await until(lambda: not local.api.open_streams)


async def test_a_reader_who_takes_nothing_is_ended_and_nothing_is_lost(tmp_path: Path) -> None:
    async with local_grpc(tmp_path, stalled_reader_s=0.3) as local:
        await local.cluster.topics.create("orders", 1, {})
        for _ in range(40):
            await local.calls.publish("orders", [b"x" * 250_000])
        async with local.calls.read("orders", cursor="billing", max_bytes=1_000_000) as stream:
            await until_free(local)
            with pytest.raises(Refused) as refused:
                await stream.take(1000)
        assert (refused.value.status, refused.value.code) == ("UNAVAILABLE", "reader-stalled")
        assert len(await local.calls.all_of("orders", cursor="billing")) == 40


async def test_an_application_that_goes_away_gives_its_cursor_back(tmp_path: Path) -> None:
    async with local_grpc(tmp_path) as local:
        await local.cluster.topics.create("orders", 1, {})
        async with grpc.aio.insecure_channel(local.listening.address) as channel:
            calls = LocalCalls(channel, local.calls.token)
            async with calls.read("orders", cursor="billing"):
                with pytest.raises(Refused, match="cursor-in-use"):
                    await local.calls.all_of("orders", cursor="billing")
        await until_free(local)
        assert await local.calls.all_of("orders", cursor="billing") == []


async def test_readers_are_told_to_go_when_the_gateway_stops(tmp_path: Path) -> None:
    async with local_grpc(tmp_path) as local:
        await local.cluster.topics.create("orders", 1, {})
        await local.calls.publish("orders", [b"a"])
        async with local.calls.read("orders") as stream:
            assert values(await stream.take(1)) == [b"a"]
            local.api.end_readings()
            with pytest.raises(Refused) as refused:
                await stream.reply()
        assert (refused.value.status, refused.value.code) == ("UNAVAILABLE", "gateway-stopping")


async def test_a_mistake_of_ours_is_told_as_such(tmp_path: Path) -> None:
    async with local_grpc(tmp_path) as local:
        local.api.services = replace(local.api.services, registry=None)  # type: ignore[arg-type]
        with pytest.raises(Refused) as refused:
            await local.calls.ask("Subscriptions", pb.SubscriptionsRequest(), pb.SubscriptionsReply)
    assert (refused.value.status, refused.value.code) == ("INTERNAL", "internal-error")
    assert refused.value.error.actor == "internal"
