"""Looking at a TLS listener from outside: what it shows to anybody, and whether it takes our certificate.

Not gRPC: that says neither which certificate was shown nor why a handshake failed. Our certificate is shown only after
the listener has proved to be the peer.
"""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mesh.trust.leaf import PeerTrust
from mesh.trust.pem import certificate_from_der

# Every HTTP/2 client begins so; a server answers with its own settings once it has accepted the connection.
HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"


class Shown(NamedTuple):
    """`certificate` (DER) is None where no handshake came about: then `why` says what happened."""

    certificate: bytes | None
    why: str = ""
    version: str = ""

    @property
    def subject(self) -> str:
        return self._name("subject")

    @property
    def issuer(self) -> str:
        return self._name("issuer")

    def _name(self, which: str) -> str:
        try:
            certificate = certificate_from_der(self.certificate or b"")
        except ValueError:
            return "a certificate that does not parse"
        name = certificate.subject if which == "subject" else certificate.issuer
        return name.rfc4514_string()[:200] or "an empty name"


@dataclass(frozen=True, slots=True)
class Probe:
    host: str
    port: int
    peer: PeerTrust
    chain: Path
    key: Path
    timeout_s: float

    async def shown(self) -> Shown:
        """What the listener shows to anybody. Nothing is sent to it, so nothing is verified here."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        try:
            return await self._handshake(context)
        except TimeoutError:
            return Shown(None, f"the handshake was not answered in {self.timeout_s:g} s")
        except OSError as error:  # TLS errors are among them
            return Shown(None, await self._why_no_tls13(context, error))

    async def _handshake(self, context: ssl.SSLContext) -> Shown:
        async with asyncio.timeout(self.timeout_s):
            _, writer = await self._connect(context)
            try:
                tls = writer.get_extra_info("ssl_object")
                return Shown(tls.getpeercert(binary_form=True), version=tls.version())
            finally:
                writer.transport.abort()

    async def _why_no_tls13(self, context: ssl.SSLContext, error: OSError) -> str:
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
        with suppress(OSError, TimeoutError):
            older = await self._handshake(context)
            return f"it speaks {older.version} only, and TLS 1.3 is required"
        if isinstance(error, ssl.SSLError):
            return f"what answers does not speak TLS ({(error.reason or 'no reason').lower().replace('_', ' ')})"
        return "it closed the connection during the handshake"

    async def refused(self) -> str:
        """Why the listener, which must prove to be the peer, does not take our certificate; empty where it does."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.load_verify_locations(cadata=self.peer.bundle.pem())
        context.load_cert_chain(self.chain, self.key)
        context.set_alpn_protocols(["h2"])
        try:
            async with asyncio.timeout(self.timeout_s):
                return await self._greeted(context)
        except TimeoutError:
            return f"no answer in {self.timeout_s:g} s"
        except ssl.SSLError as error:
            return (error.reason or "TLS error").lower().replace("_", " ")
        except OSError:
            return "closed without a word"

    async def _greeted(self, context: ssl.SSLContext) -> str:
        reader, writer = await self._connect(context)
        try:
            writer.write(HTTP2_HELLO)
            await writer.drain()
            return "" if await reader.read(1) else "closed without a word"
        finally:
            writer.transport.abort()

    async def _connect(self, context: ssl.SSLContext) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        name = self.peer.expected_dns_name
        return await asyncio.open_connection(self.host, self.port, ssl=context, server_hostname=name)
