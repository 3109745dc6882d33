"""The enrolment listener: TLS with our leaf only, because who calls has no certificate that we could know yet."""

from __future__ import annotations

import grpc

from gateway.enrolment.service import MAX_MESSAGE_BYTES, EnrolmentService
from gateway.http.errors import AddressRefused, PortInUse
from gateway.rpc.credentials import TransportLimits, server_options
from gateway.rpc.listener import Listener, in_use

MAX_CALLS = 16
"""At once, of everybody: more are refused before they cost anything."""
LIMITS = TransportLimits(
    max_message_bytes=MAX_MESSAGE_BYTES,
    handshake_timeout_s=5,
    max_connection_age_s=60,
    max_connection_grace_s=5,
    max_concurrent_streams=2,
)


async def listen_enrolment(service: EnrolmentService, host: str, port: int) -> Listener:
    """Bind and serve, with the leaf of this moment: it outlives an invite, as it is renewed at half of its life.

    Raises PortInUse, AddressRefused.
    """
    server = grpc.aio.server(options=server_options(LIMITS), maximum_concurrent_rpcs=MAX_CALLS)
    server.add_generic_rpc_handlers((service.handlers(),))
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    identity = service.identity()
    credentials = grpc.ssl_server_credentials([(identity.private_key_pem, identity.chain_pem)])
    try:
        bound = server.add_secure_port(address, credentials)
    except RuntimeError as error:
        await server.stop(None)
        if in_use(host, port):
            raise PortInUse(address, "enrolment") from error
        raise AddressRefused(address, "enrolment", str(error)[:200]) from error
    await server.start()
    return Listener(server, host, bound)
