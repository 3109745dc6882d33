"""Mutual TLS on loopback, with a real listener: what a handshake lets through, and what the check of each call adds.

The certificates have fixed dates: from 2024, for fifty years, or for one day where one has to have expired.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest

from certs.authority import Authority
from certs.profiles import Lifetimes, ca_builder
from certs.store import write_certificates, write_key
from gateway.rpc.credentials import (
    ServerTrust,
    TransportLimits,
    channel_options,
    client_pool,
    open_channel,
    server_credentials,
    server_options,
)
from gateway.rpc.errors import Tls12Accepted
from gateway.rpc.identity import Identity, authenticate
from gateway.rpc.tls13 import VARIABLE, ensure_tls13
from mesh.ids import GatewayId, OrgId
from mesh.shares import PeerState
from mesh.trust.bundle import Bundle
from mesh.trust.cache import VerificationCache
from mesh.trust.errors import BundleRefused, LeafReason, LeafRefused
from mesh.trust.leaf import PeerTrust
from mesh.trust.pem import to_der
from tests.support.trust import DAY, GATEWAY, Organization, client_context, identity_of

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 6, 1, tzinfo=UTC)
LONG = Lifetimes(ca=18_262 * DAY, leaf=18_000 * DAY)
LIMITS = TransportLimits()
METHOD = "/test.Echo/Who"
DEADLINE_S = 10


def organization(name: str) -> Organization:
    return Organization(Authority.create(OrgId(name), BEGIN, lifetimes=LONG), BEGIN)


ACME, GLOBEX, INITECH = (organization(f"{name}.example") for name in ("acme", "globex", "initech"))
"""ACME listens; GLOBEX and INITECH call."""
FORGED = identity_of(INITECH.forge(GLOBEX.org), GatewayId(GLOBEX.org, GATEWAY))
EXPIRED = identity_of(
    replace(GLOBEX.authority, lifetimes=replace(LONG, leaf=DAY)).issue(GATEWAY, BEGIN), GatewayId(GLOBEX.org, GATEWAY)
)


def peers(*organizations: Organization) -> dict[OrgId, PeerTrust]:
    return {one.org: one.trust() for one in organizations}


@dataclass
class Listener:
    """A gateway's listener with one method, which answers who calls as far as the *application* could verify it."""

    trust: ServerTrust
    peers: Mapping[OrgId, PeerTrust]
    port: int = 0
    now: datetime = NOW
    cache: VerificationCache = field(default_factory=VerificationCache)
    handshakes: list[str] = field(default_factory=list)
    """What gRPC itself says of the callers that TLS let through."""
    refusals: list[LeafReason] = field(default_factory=list)

    def pair(self, *organizations: Organization, states: Mapping[OrgId, PeerState] | None = None) -> None:
        self.peers = {one.org: one.trust((states or {}).get(one.org, PeerState.ACTIVE)) for one in organizations}
        self.trust.update(ACME.identity(), self.peers.values())

    async def who(self, request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        self.handshakes.append(next(iter(context.auth_context().get("peer_spiffe_id", ())), b"").decode())
        try:
            return str(authenticate(context, self.peers, self.cache, self.now).id).encode()
        except LeafRefused as refusal:
            self.refusals.append(refusal.reason)
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "refused")


def listening(*paired: Organization) -> AbstractAsyncContextManager[Listener]:
    return serving(None, *paired)


@asynccontextmanager
async def serving(credentials: grpc.ServerCredentials | None, *paired: Organization) -> AsyncIterator[Listener]:
    trusted = peers(*paired)
    listener = Listener(ServerTrust(ACME.identity(), trusted.values()), trusted)
    server = grpc.aio.server(options=server_options(LIMITS))
    handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(listener.who)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", {"Who": handler}),))
    listener.port = server.add_secure_port("127.0.0.1:0", credentials or server_credentials(listener.trust))
    await server.start()
    try:
        yield listener
    finally:
        await server.stop(None)


async def ask(channel: grpc.aio.Channel) -> str:
    """Who the listener says we are, or the name of the status."""
    try:
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(METHOD)
        return (await method(b"", timeout=DEADLINE_S)).decode()
    except grpc.aio.AioRpcError as error:
        return error.code().name


async def call(listener: Listener, identity: Identity, server: PeerTrust | None = None) -> str:
    address = f"127.0.0.1:{listener.port}"
    async with open_channel(identity, server or ACME.trust(), address, LIMITS) as channel:
        return await ask(channel)


async def test_a_good_peer_passes_and_is_known_by_its_id() -> None:
    async with listening(GLOBEX, INITECH) as listener:
        assert await call(listener, GLOBEX.identity()) == "spiffe://globex.example/gateway/one"
        assert await call(listener, INITECH.identity()) == "spiffe://initech.example/gateway/one"


async def test_a_leaf_of_another_peers_ca_passes_tls_and_is_refused_by_the_application() -> None:
    async with listening(GLOBEX, INITECH) as listener:
        assert await call(listener, FORGED) == "UNAUTHENTICATED"
        # what TLS alone would have believed
        assert listener.handshakes == ["spiffe://globex.example/gateway/one"]
        assert listener.refusals == [LeafReason.PATH_INVALID]


async def test_an_expired_leaf_does_not_shake_hands() -> None:
    async with listening(GLOBEX) as listener:
        assert await call(listener, EXPIRED) == "UNAVAILABLE"
        assert listener.handshakes == []
        assert await call(listener, GLOBEX.identity()) != "UNAVAILABLE"


async def test_an_unknown_peer_does_not_shake_hands() -> None:
    async with listening(GLOBEX) as listener:
        assert await call(listener, INITECH.identity()) == "UNAVAILABLE"
        assert listener.handshakes == []


async def test_without_peers_the_listener_stands_and_nobody_passes() -> None:
    async with listening() as listener:
        for organization in (ACME, GLOBEX):
            assert await call(listener, organization.identity()) == "UNAVAILABLE"
        listener.pair(GLOBEX)
        assert await call(listener, GLOBEX.identity()) == "spiffe://globex.example/gateway/one"
        # roots that do not load would make gRPC keep the ones it had: an empty pool must not be of that kind
        listener.pair()
        assert await call(listener, GLOBEX.identity()) == "UNAVAILABLE"


async def test_plaintext_is_refused() -> None:
    async with listening(GLOBEX) as listener, grpc.aio.insecure_channel(f"127.0.0.1:{listener.port}") as channel:
        assert await ask(channel) == "UNAVAILABLE"
        assert listener.handshakes == []


async def test_tls_without_a_client_certificate_is_refused() -> None:
    async with listening(GLOBEX) as listener:
        roots_only = grpc.ssl_channel_credentials(ACME.bundle.pem().encode())
        options = channel_options(ACME.trust(), LIMITS)
        async with grpc.aio.secure_channel(f"127.0.0.1:{listener.port}", roots_only, options=options) as channel:
            assert await ask(channel) == "UNAVAILABLE"
        assert listener.handshakes == []


async def test_a_channel_takes_only_the_dialled_peers_root_and_name() -> None:
    async with listening(GLOBEX) as listener:
        other_root = replace(INITECH.trust(), dns_name=ACME.trust().expected_dns_name)
        assert await call(listener, GLOBEX.identity(), other_root) == "UNAVAILABLE"
        misnamed = replace(ACME.trust(), dns_name="gateway.initech.example")
        assert await call(listener, GLOBEX.identity(), misnamed) == "UNAVAILABLE"
        assert listener.handshakes == []


async def test_a_bundle_that_is_no_bundle_never_falls_back_to_the_systems_roots() -> None:
    empty = PeerTrust(PeerState.ACTIVE, Bundle(ACME.org, 1, (), BEGIN))
    with pytest.raises(BundleRefused):
        open_channel(GLOBEX.identity(), empty, "127.0.0.1:1", LIMITS)


async def test_a_reload_adds_and_removes_peers_without_a_restart() -> None:
    async with listening(GLOBEX) as listener:
        assert await call(listener, INITECH.identity()) == "UNAVAILABLE"
        listener.pair(GLOBEX, INITECH)
        assert await call(listener, INITECH.identity()) == "spiffe://initech.example/gateway/one"
        listener.pair(INITECH)
        assert await call(listener, GLOBEX.identity()) == "UNAVAILABLE"
        assert await call(listener, INITECH.identity()) == "spiffe://initech.example/gateway/one"


async def test_suspension_stops_the_next_call_of_an_open_connection() -> None:
    async with listening(GLOBEX) as listener:
        address = f"127.0.0.1:{listener.port}"
        async with open_channel(GLOBEX.identity(), ACME.trust(), address, LIMITS) as channel:
            assert await ask(channel) == "spiffe://globex.example/gateway/one"
            listener.pair(GLOBEX, states={GLOBEX.org: PeerState.SUSPENDED})
            # the connection lives on: only the application's check can tell
            assert await ask(channel) == "UNAUTHENTICATED"
            assert listener.refusals == [LeafReason.PEER_NOT_ACTIVE]
        assert await call(listener, GLOBEX.identity()) == "UNAVAILABLE"


async def test_a_leaf_that_expires_stops_the_next_call_of_an_open_connection() -> None:
    async with listening(GLOBEX) as listener:
        address = f"127.0.0.1:{listener.port}"
        async with open_channel(GLOBEX.identity(), ACME.trust(), address, LIMITS) as channel:
            assert await ask(channel) == "spiffe://globex.example/gateway/one"
            listener.now = GLOBEX.identity().leaf.not_valid_after_utc + DAY
            assert await ask(channel) == "UNAUTHENTICATED"
            assert listener.refusals == [LeafReason.EXPIRED]


async def test_a_call_without_tls_is_refused_by_the_application_too() -> None:
    """No code opens a plaintext port; should one ever, nobody is let in by it."""
    async with serving(grpc.local_server_credentials(), GLOBEX) as listener:
        local = grpc.local_channel_credentials()
        async with grpc.aio.secure_channel(f"127.0.0.1:{listener.port}", local) as channel:
            assert await ask(channel) == "UNAUTHENTICATED"
        assert listener.refusals == [LeafReason.NO_CERTIFICATE]


async def test_a_proxy_named_by_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readline())
        writer.close()

    async with await asyncio.start_server(proxy, "127.0.0.1", 0) as server, listening(GLOBEX) as listener:
        for variable in ("http_proxy", "https_proxy", "grpc_proxy"):
            monkeypatch.setenv(variable, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        monkeypatch.setenv("no_proxy", "")
        assert await call(listener, GLOBEX.identity()) == "spiffe://globex.example/gateway/one"
        assert seen == []


@pytest.mark.parametrize("what", ["time", "trust"])
async def test_a_session_ticket_lives_no_longer_than_the_configuration(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A resumed session skips the certificates; what it may do is verified on each call all the same."""
    async with listening(GLOBEX) as listener:
        context = client_context(GLOBEX.identity(), ACME.trust())
        first = await asyncio.to_thread(shake_hands, context, listener.port, None)
        assert first.session is not None
        assert first.session.has_ticket
        if what == "time":
            monkeypatch.setattr("gateway.rpc.credentials.FRESH_S", 0.0)
        else:
            listener.trust.update(ACME.identity(), [GLOBEX.trust(), INITECH.trust()])
        second = await asyncio.to_thread(shake_hands, context, listener.port, first.session)
        assert not second.reused
        assert first.version == second.version == "TLSv1.3"


def test_a_configuration_is_given_once_until_something_changes_or_it_is_old(monkeypatch: pytest.MonkeyPatch) -> None:
    """gRPC may use freed memory where it is replaced while other handshakes begin: seldom, and never in haste."""
    identity = ACME.identity()
    trust = ServerTrust(identity, [GLOBEX.trust()])
    assert trust.reload() is not None
    assert trust.reload() is None
    trust.update(identity, [GLOBEX.trust()])
    assert trust.reload() is None
    trust.update(identity, [])
    begun_s = time.perf_counter()
    assert trust.reload() is not None
    assert time.perf_counter() - begun_s >= 0.05
    assert trust.reload() is None
    monkeypatch.setattr("gateway.rpc.credentials.FRESH_S", 0.0)
    assert trust.reload() is not None


@dataclass
class Shaken:
    session: ssl.SSLSession | None
    reused: bool
    version: str | None


def shake_hands(context: ssl.SSLContext, port: int, session: ssl.SSLSession | None) -> Shaken:
    with (
        socket.create_connection(("127.0.0.1", port), DEADLINE_S) as plain,
        context.wrap_socket(plain, server_hostname="gateway.acme.example", session=session) as secured,
    ):
        secured.recv(9)  # the server's settings frame: by then its tickets have come, too
        return Shaken(secured.session, bool(secured.session_reused), secured.version())


SCRIPT = """
import asyncio, sys
from gateway.rpc.tls13 import ensure_tls13, require_tls13
if sys.argv[1] == "restricted":
    assert require_tls13()
from tests.gateway.rpc import test_credentials as this
async def main():
    async with this.listening(this.GLOBEX) as listener:
        print(await this.call(listener, this.GLOBEX.identity()))
        try:
            await ensure_tls13("127.0.0.1", listener.port, 5)
        except this.Tls12Accepted:
            print("1.2 accepted")
        else:
            print("1.3 only")
    print("dials 1.2" if await this.dials_over_tls_1_2() else "dials 1.3 only")
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("how", "expected"),
    [("restricted", ["1.3 only", "dials 1.3 only"]), ("as it comes", ["1.2 accepted", "dials 1.2"])],
)
async def test_tls_1_2_is_shut_out_where_grpc_was_restricted_before_its_import(
    how: str, expected: list[str], pytestconfig: pytest.Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SCRIPT, how, cwd=pytestconfig.rootpath, stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()
    assert output.decode().splitlines() == ["spiffe://globex.example/gateway/one", *expected]


@asynccontextmanager
async def plain_tls(context: ssl.SSLContext, greeted: Callable[[], None] = lambda: None) -> AsyncIterator[int]:
    """A TLS server with ACME's leaf on the port given; it calls `greeted` after each handshake and hangs up."""

    def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        greeted()
        writer.close()

    with tempfile.TemporaryDirectory() as directory:
        write_key(Path(directory, "key"), (leaf := ACME.leaf()).key)
        write_certificates(Path(directory, "pem"), [leaf.certificate])
        context.load_cert_chain(Path(directory, "pem"), Path(directory, "key"))
    context.set_alpn_protocols(["h2"])
    async with await asyncio.start_server(connected, "127.0.0.1", 0, ssl=context) as server:
        yield server.sockets[0].getsockname()[1]


async def dials_over_tls_1_2() -> bool:
    """Whether this process's gRPC would shake hands with a server that speaks TLS 1.2 at most."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    shaken: list[bool] = []
    async with (
        plain_tls(context, lambda: shaken.append(True)) as port,
        open_channel(GLOBEX.identity(), ACME.trust(), f"127.0.0.1:{port}", LIMITS) as channel,
    ):
        assert await ask(channel) == "UNAVAILABLE"
    return bool(shaken)


async def test_the_probe_for_tls_1_2_sees_a_listener_that_takes_it() -> None:
    for least, accepted in ((ssl.TLSVersion.TLSv1_2, True), (ssl.TLSVersion.TLSv1_3, False)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = least
        expected = pytest.raises(Tls12Accepted, match=r"accepts TLS 1\.2") if accepted else nullcontext()
        async with plain_tls(context) as port:
            with expected:
                await ensure_tls13("127.0.0.1", port, DEADLINE_S)
    with pytest.raises(OSError):  # noqa: PT011  any: nobody listens
        await ensure_tls13("127.0.0.1", 1, DEADLINE_S)


def bad_bundles() -> dict[str, Callable[[], Bundle]]:
    def of(*ders: bytes) -> Callable[[], Bundle]:
        return lambda: Bundle(INITECH.org, 1, ders, BEGIN)

    return {
        "rubbish": of(b"rubbish"),
        "empty": of(),
        "a leaf": of(to_der(INITECH.leaf().certificate)),
        "another peer's root": of(to_der(GLOBEX.authority.certificate)),
    }


@pytest.mark.parametrize("kind", bad_bundles())
async def test_a_peers_bad_bundle_shuts_out_nobody_else(kind: str) -> None:
    bad = PeerTrust(PeerState.ACTIVE, bad_bundles()[kind]())
    async with listening() as listener:
        listener.peers = {INITECH.org: bad, **peers(GLOBEX)}
        assert set(listener.trust.update(ACME.identity(), listener.peers.values())) == {INITECH.org}
        assert await call(listener, GLOBEX.identity()) == "spiffe://globex.example/gateway/one"
        assert await call(listener, INITECH.identity()) == "UNAVAILABLE"


def test_a_ca_with_another_peers_subject_name_is_left_out_of_the_pool() -> None:
    """TLS looks an issuer up by its name and key id, both of which a peer may choose: GLOBEX would be shut out."""
    key = INITECH.authority.key
    builder = ca_builder(INITECH.org, 1, key.public_key(), 1, BEGIN, LONG)
    builder._subject_name = builder._issuer_name = GLOBEX.authority.certificate.subject
    twin = Bundle(INITECH.org, 1, (to_der(INITECH.sign(builder)),), BEGIN)
    pool = client_pool([GLOBEX.trust(), PeerTrust(PeerState.ACTIVE, twin)])
    assert pool.pem.decode() == GLOBEX.bundle.pem()
    assert pool.refused == {INITECH.org: "it holds a CA with the subject name of one of globex.example"}


@pytest.mark.parametrize("state", [PeerState.PENDING, PeerState.SUSPENDED, PeerState.REVOKED])
def test_only_active_peers_are_in_the_pool(state: PeerState) -> None:
    pool = client_pool([GLOBEX.trust(state), INITECH.trust()])
    assert pool.pem.decode() == INITECH.bundle.pem()
    assert pool.refused == {}


def test_what_the_trust_of_a_listener_shows_is_a_count() -> None:
    assert repr(ServerTrust(ACME.identity(), peers(GLOBEX, INITECH).values())) == "ServerTrust(2 roots)"
