"""TLS 1.3 only, for a gRPC that has no option for it.

gRPC's Python API cannot state a least TLS version, and its core takes 1.2 as the default. Its cipher list, however,
concerns TLS 1.2 alone (the suites of 1.3 are fixed), so a list of nothing but a pre-shared-key suite, for which
neither side ever has a key, leaves 1.2 without a way to agree. gRPC reads the list from the environment, once, when
it is first imported; hence `require_tls13` before, and `ensure_tls13` to see that it holds.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import sys

from gateway.rpc.errors import Tls12Accepted

VARIABLE = "GRPC_SSL_CIPHER_SUITES"
NO_TLS12 = "ECDHE-PSK-AES256-CBC-SHA"


def require_tls13() -> bool:
    """Restrict this process's gRPC to TLS 1.3; call it before anything imports gRPC. False: it came too late."""
    late = "grpc" in sys.modules and os.environ.get(VARIABLE) != NO_TLS12
    os.environ[VARIABLE] = NO_TLS12
    # Its own log lines are for its developers; what they mean for us is in our log. Read once, at the import, too.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    return not late


async def ensure_tls13(host: str, port: int, timeout_s: float) -> None:
    """Raises Tls12Accepted where the listener there would speak TLS 1.2, OSError or TimeoutError without a listener."""
    async with asyncio.timeout(timeout_s):
        _, probe = await asyncio.open_connection(host, port)
        probe.close()
        if await _speaks_tls12(host, port):
            raise Tls12Accepted(f"{host}:{port}")


async def _speaks_tls12(host: str, port: int) -> bool:
    """A server that agrees on 1.2 sends its certificate, which this client, trusting nobody, then refuses."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["h2"])
    try:
        _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    except ssl.SSLCertVerificationError:
        return True
    except (ssl.SSLError, ConnectionError):
        return False
    writer.close()
    return True
