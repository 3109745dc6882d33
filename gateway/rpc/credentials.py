"""Mutually authenticated gRPC: the listener's credentials, a channel's credentials, and the options of both.

A. The listener demands a client certificate. Its pool is the union of the active peers' bundles, each checked before
   it gets there, so that a bad bundle shuts out its own peer only. The pool says who may shake hands; who a caller
   *is* decides `identity.authenticate`, on every call.
B. A handshake gets a fresh configuration where anything changed since the last one, and once in `FRESH_S`: a peer added
   or removed counts at once, and TLS session tickets, which a configuration makes and takes with it, are short-lived.
   Not for every handshake: see `Reload`. What a ticket still lets in, every call is verified for anyway.
C. A channel trusts the roots of one peer and its logical DNS name, nothing else: not the system's roots, not a proxy
   named by the environment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TypeAlias, cast

import grpc

from certs.authority import Authority
from gateway.rpc.identity import Identity
from mesh.ids import OrgId
from mesh.trust.bundle import Bundle, check_bundle, refuse_overlap
from mesh.trust.errors import BundleRefused
from mesh.trust.leaf import PeerTrust
from mesh.trust.pem import to_pem

Options: TypeAlias = list[tuple[str, int | str]]

FRESH_S = 60.0
SETTLE_S = 0.05
"""Long for a thread that has microseconds to go, short for a handshake that waits."""


@dataclass(frozen=True, slots=True)
class TransportLimits:
    max_message_bytes: int = 8 * 1024 * 1024
    """After decompression. A frame fills to about 1 MiB, but a single batch may be larger."""
    keepalive_s: float = 20
    """An idle connection is probed this often: below the idle limits of common firewalls (a minute and more)."""
    keepalive_timeout_s: float = 10
    max_connection_age_s: float = 3600
    """gRPC spreads it by a tenth either way; the end of a connection by age is no error."""
    max_connection_grace_s: float = 30
    handshake_timeout_s: float = 10
    max_concurrent_streams: int = 8
    """Of one connection; a link takes one. So many handlers one packet may start: each is a millisecond for all."""
    max_metadata_bytes: int = 8 * 1024
    """Of the headers of a call; a call of ours has about 200 bytes. Beyond twice as much it is refused by all means."""
    max_connections: int = 6000
    """To the listener, whether or not they have shaken hands: each holds a file descriptor of the whole process, and
    one that has not about 60 kB. So many that a partner still gets in beside 5,000 that never finish."""
    max_connection_idle_s: float = 60
    """A connection without a call ends after it; a link is a call that never ends by itself."""


@dataclass(frozen=True, slots=True)
class ClientPool:
    """The roots by which the listener lets clients shake hands, and the active peers left out, each with its why."""

    pem: bytes
    refused: dict[OrgId, str] = field(default_factory=dict)


def client_pool(peers: Iterable[PeerTrust]) -> ClientPool:
    """Rule A. Of two peers with one CA key or CA name, the one that comes first stays."""
    taken: list[Bundle] = []
    refused: dict[OrgId, str] = {}
    for peer in peers:
        if not peer.may_greet:
            continue
        try:
            check_bundle(peer.bundle)
            refuse_overlap(peer.bundle, taken)
            taken.append(peer.bundle)
        except BundleRefused as error:
            refused[peer.bundle.org] = error.why
    return ClientPool("".join(bundle.pem() for bundle in taken).encode(), refused)


class Reload:
    """What gRPC calls before each handshake, on its own threads, one at a time; None: nothing is new.

    gRPC 1.85.1 takes the old configuration away without asking whether another thread is making a handshake by it at
    that moment: a few hundred connections at once, of anybody, then end the process (a count of references falls below
    zero, or freed memory is used). Those threads have passed here before and need microseconds, and no other can pass
    while this call lasts, so waiting here before a new one is given leaves nobody with the old one.
    """

    def __init__(
        self, state: Callable[[], object], configuration: Callable[[], grpc.ServerCertificateConfiguration]
    ) -> None:
        """`state` answers another object where `configuration` would answer another configuration."""
        self._state = state
        self._configuration = configuration
        self._given: object = None
        self._given_s = 0.0

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        now_s = time.monotonic()
        if self._given is self._state() and now_s - self._given_s < FRESH_S:
            return None
        time.sleep(SETTLE_S)
        self._given, self._given_s = self._state(), now_s
        return self._configuration()

    def for_grpc(self) -> Callable[[], grpc.ServerCertificateConfiguration]:
        """None is "unchanged" to gRPC; its stubs do not know."""
        return cast(Callable[[], grpc.ServerCertificateConfiguration], self)


class ServerTrust:
    """What the listener's next handshake goes by. `update` it on the event loop; gRPC reads it from its own thread."""

    def __init__(self, identity: Identity, peers: Iterable[PeerTrust]) -> None:
        self._nobody = _root_of_nobody()
        self.reload = Reload(lambda: self._current, self.configuration)
        self._current: tuple[bytes, bytes, bytes] = (b"", b"", b"")
        self.update(identity, peers)

    def update(self, identity: Identity, peers: Iterable[PeerTrust]) -> dict[OrgId, str]:
        """Replace all of it, for handshakes from now on. Returns the active peers whose bundle is refused, with why.

        Connections that are open stay open: ending them is the caller's task.
        """
        pool = client_pool(peers)
        new = (identity.private_key_pem, identity.chain_pem, pool.pem or self._nobody)
        if new != self._current:
            # one assignment: a handshake sees the old state or the new one, never parts of both
            self._current = new
        return pool.refused

    def configuration(self) -> grpc.ServerCertificateConfiguration:
        key, chain, roots = self._current
        return grpc.ssl_server_certificate_configuration([(key, chain)], root_certificates=roots)

    def __repr__(self) -> str:
        return f"ServerTrust({self._current[2].count(b'BEGIN CERTIFICATE')} roots)"


def server_credentials(trust: ServerTrust) -> grpc.ServerCredentials:
    """Credentials that ask `trust` at each handshake and refuse a client without a certificate from its pool."""
    reload = trust.reload.for_grpc()
    made = grpc.dynamic_ssl_server_credentials(trust.configuration(), reload, require_client_authentication=True)
    _kept.append(made)
    return made


_kept: list[grpc.ServerCredentials] = []
"""gRPC calls back into credentials that it holds by their bare address, on threads that may outlive a listener by a
handshake: they are never freed. A process makes one or two."""


def channel_credentials(identity: Identity, peer: PeerTrust) -> grpc.ChannelCredentials:
    """Credentials to dial `peer` and nobody else. Raises BundleRefused; a bundle without roots never gets through,
    for which gRPC would take the system's."""
    check_bundle(peer.bundle)
    return grpc.ssl_channel_credentials(peer.bundle.pem().encode(), identity.private_key_pem, identity.chain_pem)


def channel_options(peer: PeerTrust, limits: TransportLimits) -> Options:
    return [
        ("grpc.ssl_target_name_override", peer.expected_dns_name),
        ("grpc.default_authority", peer.expected_dns_name),
        ("grpc.enable_http_proxy", 0),
        # no connection is shared between channels: an old leaf must not serve a new channel
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.keepalive_permit_without_calls", 1),
        *_common(limits),
    ]


def server_options(limits: TransportLimits) -> Options:
    return [
        # two processes on one port would share the callers between them
        ("grpc.so_reuseport", 0),
        ("grpc.max_concurrent_streams", limits.max_concurrent_streams),
        ("grpc.server_handshake_timeout_ms", _ms(limits.handshake_timeout_s)),
        ("grpc.max_allowed_incoming_connections", limits.max_connections),
        ("grpc.max_connection_idle_ms", _ms(limits.max_connection_idle_s)),
        ("grpc.max_connection_age_ms", _ms(limits.max_connection_age_s)),
        ("grpc.max_connection_age_grace_ms", _ms(limits.max_connection_grace_s)),
        # half of what an honest client of the same settings sends, so jitter is no strike
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _ms(limits.keepalive_s / 2)),
        ("grpc.keepalive_permit_without_calls", 1),
        *_common(limits),
    ]


def open_channel(identity: Identity, peer: PeerTrust, address: str, limits: TransportLimits) -> grpc.aio.Channel:
    """A channel to one address of `peer`. Raises BundleRefused."""
    credentials = channel_credentials(identity, peer)
    return grpc.aio.secure_channel(address, credentials, options=channel_options(peer, limits))


def _common(limits: TransportLimits) -> Options:
    return [
        ("grpc.max_receive_message_length", limits.max_message_bytes),
        ("grpc.max_send_message_length", limits.max_message_bytes),
        ("grpc.max_metadata_size", limits.max_metadata_bytes),
        # between the two gRPC refuses at random, so that a sender notices before it hits the end
        ("grpc.absolute_max_metadata_size", 2 * limits.max_metadata_bytes),
        ("grpc.keepalive_time_ms", _ms(limits.keepalive_s)),
        ("grpc.keepalive_timeout_ms", _ms(limits.keepalive_timeout_s)),
        ("grpc.http2.max_pings_without_data", 0),
    ]


def _ms(seconds: float) -> int:
    return int(seconds * 1000)


def _root_of_nobody() -> bytes:
    """A root whose key is forgotten at once, for a pool without peers.

    gRPC keeps its former roots when new ones do not load, and does not say what an empty text of roots means to it.
    """
    nobody = Authority.create(OrgId("nobody.invalid"), datetime(2000, 1, 1, tzinfo=UTC))
    return to_pem([nobody.certificate]).encode()
