"""The names that certificates carry, derived at one place."""

from __future__ import annotations

from mesh.ids import IllegalName, OrgId

MAX_DNS_NAME = 253
"""RFC 1035: what a DNS name may hold as text."""


def gateway_dns_name(org: OrgId) -> str:
    """The logical DNS name that every gateway of `org` carries; it need not resolve. Raises IllegalName if too long.

    gRPC's Python client compares only a DNS name, so one fixed name per domain stands for "a gateway of it".
    """
    name = f"gateway.{org}"
    if len(name) > MAX_DNS_NAME:
        raise IllegalName("gateway DNS name", name[:80], f"at most {MAX_DNS_NAME} characters")
    return name


def domain_uri(org: OrgId) -> str:
    """The SPIFFE id of the trust domain itself, which its CA certificates carry."""
    return f"spiffe://{org}"
