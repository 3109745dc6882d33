"""Judging permissions: one row for what is allowed on a resource, one for each operation that is not. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from gateway.doctor.facts import Access
from gateway.doctor.findings import Finding, Level, info, ok
from gateway.doctor.permissions import Kind, Operation

REMEDY = "grant the gateway's principal {operation} on {resource}"


def check_access(tried: Iterable[Access]) -> Iterator[Finding]:
    by_resource: dict[str, list[Access]] = {}
    for access in tried:
        by_resource.setdefault(access.need.named(access.topic), []).append(access)
    for resource, accesses in by_resource.items():
        allowed = [access.need.operation.title for access in accesses if access.allowed]
        if allowed:
            yield ok(f"permissions on {resource}", f"{', '.join(allowed)} allowed")
        for access in accesses:
            if not access.allowed:
                yield _lacking(access, resource)


def _lacking(access: Access, resource: str) -> Finding:
    need = access.need
    check = f"{need.operation.title} on {resource}"
    remedy = REMEDY.format(operation=need.operation.title, resource=resource)
    if access.allowed is None:
        # a name that nobody answers for is no matter of permissions: no lane gets a producer
        level = Level.FAIL if need.kind is Kind.TRANSACTIONAL_ID and access.in_use else Level.INFO
        return Finding(check, level, f"not known: {access.why}", need.follows, remedy)
    if access.exists and need.operation is Operation.CREATE:
        return info(check, "not allowed, and not needed: it exists", "if it is deleted, make it yourself", remedy)
    level = Level.FAIL if need.required and access.in_use else Level.INFO
    return Finding(check, level, "not allowed", f"the gateway cannot {need.purpose}: {need.follows}", remedy)
