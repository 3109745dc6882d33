"""Certificates from PEM and DER, strictly.

TLS libraries differ in what they do with text around PEM blocks: gRPC fails to bind a listener on garbage before a
good block and silently ignores a file that is all garbage. So nothing but whole CERTIFICATE blocks passes here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate

MAX_CERTIFICATE_BYTES = 16 * 1024
"""A gateway or CA certificate takes about 600 bytes; an RSA-4096 one under 3 KB."""
MAX_PEM_CHARACTERS = 512 * 1024

_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)

_BEGIN = "-----BEGIN CERTIFICATE-----"
_BLOCK = re.compile(rf"{_BEGIN}\r?\n(?:[A-Za-z0-9+/]{{1,76}}={{0,2}}\r?\n)+-----END CERTIFICATE-----(?:\r?\n|\Z)")


def certificates_from_pem(text: str) -> list[Certificate]:
    """Every certificate in `text`, at least one. Raises ValueError, with a sentence, for anything else around or in."""
    if len(text) > MAX_PEM_CHARACTERS:
        raise ValueError(f"more than {MAX_PEM_CHARACTERS} characters of PEM")
    found: list[Certificate] = []
    position = 0
    while position < len(text):
        block = _BLOCK.match(text, position)
        if block is None:
            raise ValueError("text outside of a whole CERTIFICATE block")
        found.append(_load(x509.load_pem_x509_certificate, block[0].encode()))
        position = block.end()
    if not found:
        raise ValueError("no certificate")
    return found


def certificate_from_der(data: bytes) -> Certificate:
    """The certificate that `data` is, whole. Raises ValueError."""
    if len(data) > MAX_CERTIFICATE_BYTES:
        raise ValueError(f"a certificate of more than {MAX_CERTIFICATE_BYTES} bytes")
    return _load(x509.load_der_x509_certificate, data)


def leaf_from(data: bytes) -> Certificate:
    """The first certificate of `data`: DER, or PEM with the leaf first. Raises ValueError."""
    if data[:1] == b"\x30":
        return certificate_from_der(data)
    try:
        text = data.decode("ascii")
    except UnicodeDecodeError:
        raise ValueError("neither DER nor PEM") from None
    return certificates_from_pem(text)[0]


def to_pem(certificates: Iterable[Certificate]) -> str:
    return "".join(certificate.public_bytes(Encoding.PEM).decode() for certificate in certificates)


def to_der(certificate: Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def _load(load: Callable[[bytes], Certificate], data: bytes) -> Certificate:
    try:
        certificate = load(data)
        # both are parsed lazily: what is broken in them shows here, not deep inside a decision
        _ = certificate.extensions, certificate.public_key(), certificate.subject
    except _UNREADABLE as error:
        raise ValueError(f"a certificate that does not parse ({type(error).__name__})") from error
    return certificate
