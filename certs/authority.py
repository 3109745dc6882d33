"""An organization's certificate authority: issues in memory and returns values; `certs/store.py` alone writes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509 import Certificate

from certs.profiles import CURVE, DEFAULT_LIFETIMES, Lifetimes, ca_builder, gateway_builder
from mesh.ids import GatewayId, GatewayName, OrgId

Serials: TypeAlias = Callable[[], int]
Keys: TypeAlias = Callable[[], ec.EllipticCurvePrivateKey]


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(CURVE)


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate and its private key. The key is not part of the repr."""

    certificate: Certificate = field(repr=False)
    key: ec.EllipticCurvePrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class Authority:
    """One generation of an organization's CA."""

    org: OrgId
    certificate: Certificate = field(repr=False)
    key: ec.EllipticCurvePrivateKey = field(repr=False)
    lifetimes: Lifetimes = field(default=DEFAULT_LIFETIMES, repr=False)
    serials: Serials = field(default=x509.random_serial_number, repr=False)
    keys: Keys = field(default=new_key, repr=False)

    @classmethod
    def create(
        cls,
        org: OrgId,
        now: datetime,
        generation: int = 1,
        lifetimes: Lifetimes = DEFAULT_LIFETIMES,
        serials: Serials = x509.random_serial_number,
        keys: Keys = new_key,
    ) -> Authority:
        """A new CA with its own key. `generation` must differ from every CA of the organization before it."""
        key = keys()
        builder = ca_builder(org, generation, key.public_key(), serials(), now, lifetimes)
        return cls(org, builder.sign(key, hashes.SHA256()), key, lifetimes, serials, keys)

    def issue(self, name: GatewayName, now: datetime) -> Issued:
        """A leaf for the gateway `name`, with a new key."""
        key = self.keys()
        return Issued(self.certify(name, key.public_key(), now), key)

    def certify(self, name: GatewayName, key: ec.EllipticCurvePublicKey, now: datetime) -> Certificate:
        """A leaf for a key that somebody else holds."""
        gateway = GatewayId(self.org, name)
        builder = gateway_builder(gateway, self.certificate, key, self.serials(), now, self.lifetimes)
        return builder.sign(self.key, hashes.SHA256())
