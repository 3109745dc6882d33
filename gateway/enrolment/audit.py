"""Where first contact reports refusals: one callable, which does nothing until an audit log is given.

What changes the control state (an invite, a pending peer, an approval) is recorded by the registry itself.
"""

from __future__ import annotations

from typing import Protocol

from gateway.services import Services


class Audit(Protocol):
    async def __call__(self, action: str, object_: str, outcome: str, *, actor: str = "", **details: str | int) -> None:
        """Record one act. Never words, keys or what a stranger sent at length."""


async def no_audit(action: str, object_: str, outcome: str, *, actor: str = "", **details: str | int) -> None:
    """For a gateway without an audit log."""


def audit_of(services: Services) -> Audit:
    return services.audit.record
