"""Two organizations that are the same in every process: keys from small numbers, signatures without chance.

So a kept input still meets the certificates that it was made with.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import Certificate

from certs.authority import Authority, Issued
from certs.profiles import CURVE, DEFAULT_LIFETIMES, ca_builder, gateway_builder
from mesh.ids import GatewayId, OrgId
from tests.support.trust import GATEWAY, NOW, Organization

_NUMBERS = {"acme.example": 1000, "globex.example": 2000}


@dataclass(frozen=True)
class Fixed:
    """An organization, the leaf of its one gateway, and what that signs by."""

    held: Organization
    leaf: Issued

    def sign(self, digest: bytes) -> bytes:
        return self.leaf.key.sign(digest, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))


@cache
def fixed(org: str) -> Fixed:
    number = _NUMBERS[org]
    root, key = _key(number), _key(number + 1)
    certificate = _signed(ca_builder(OrgId(org), 1, root.public_key(), number, NOW, DEFAULT_LIFETIMES).sign, root)
    gateway = GatewayId(OrgId(org), GATEWAY)
    leaf = gateway_builder(gateway, certificate, key.public_key(), number + 1, NOW, DEFAULT_LIFETIMES)
    authority = Authority(OrgId(org), certificate, root)
    return Fixed(Organization(authority, NOW), Issued(_signed(leaf.sign, root), key))


def _key(number: int) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(number, CURVE)


def _signed(sign: Callable[..., Certificate], key: ec.EllipticCurvePrivateKey) -> Certificate:
    return sign(key, hashes.SHA256(), ecdsa_deterministic=True)
