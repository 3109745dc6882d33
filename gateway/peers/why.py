"""Why a leaf is accepted or refused, and what its peer may read: the steps that the gateway itself takes, as values."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ClassVar

from gateway.peers.sight import Presented
from gateway.registry import Registry
from mesh.errors import CallerError
from mesh.ids import OrgId
from mesh.policy import Request
from mesh.trust.leaf import explain_leaf


@dataclass(eq=False)
class LeafAbsent(CallerError):
    org: str

    code: ClassVar[str] = "leaf-absent"
    sentence: ClassVar[str] = "no certificate that claims to be of {org} was presented since the gateway started"
    hint: ClassVar[str] = "see whether its gateway is reached with: mesh peer doctor {org}; or give a certificate file"


def explained(registry: Registry, certificate: bytes, now_ms: int) -> dict[str, Any]:
    """The verification of `certificate` (DER, or PEM with the leaf first) as it would end now, step by step."""
    trusts = {org: peer.trust for org, peer in registry.peers.items()}
    steps = explain_leaf(certificate, trusts, datetime.fromtimestamp(now_ms / 1000, UTC))
    last = steps[-1]
    return {
        "accepted": last.passed,
        "reason": last.reason or None,
        "steps": [{"rule": step.rule, "detail": step.detail, "passed": step.passed} for step in steps],
    }


def presented(registry: Registry, leaf: Presented, now_ms: int) -> dict[str, Any]:
    """A leaf that came over the network: when, what it got then, and what it would get now."""
    then = {"presented_ms": leaf.at_ms, "refused_then": leaf.refused or None}
    return then | explained(registry, leaf.certificate, now_ms)


def grants(registry: Registry, org: str, now_ms: int) -> list[dict[str, Any]]:
    """What the grants say of each share that `org` was ever granted, in the steps of `mesh.policy`."""
    found = []
    for grant in sorted(registry.grants.values(), key=lambda each: each.id):
        if grant.peer == org:
            decision = registry.decide(Request(OrgId(org), grant.share), now_ms)
            said = {"request": str(decision.request), "allowed": decision.allowed, "reason": decision.reason}
            found.append(said | {"steps": list(decision.steps)})
    return found
