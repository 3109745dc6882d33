"""Rules of a broker about who may do what; each change is known to the broker itself when it returns.

The controller decides them and answers; the broker, which asks its own copy, hears of it a moment later.
"""

from __future__ import annotations

from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._acl import AclBinding, AclBindingFilter

from tests.support.organization import wait_for

AUTHORIZER = {
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
}
"""Properties of a broker that forbids what no rule allows, but to whoever comes without a name."""
PATIENCE_S = 30


def add_rule(admin: AdminClient, rule: AclBinding) -> None:
    admin.create_acls([rule])[rule].result(PATIENCE_S)
    wait_for(f"the broker to know {rule}", lambda: _known(admin, rule), PATIENCE_S)


def remove_rule(admin: AdminClient, rule: AclBinding) -> None:
    which = _itself(rule)
    admin.delete_acls([which])[which].result(PATIENCE_S)
    wait_for(f"the broker to forget {rule}", lambda: not _known(admin, rule), PATIENCE_S)


def _known(admin: AdminClient, rule: AclBinding) -> bool:
    return bool(admin.describe_acls(_itself(rule)).result(PATIENCE_S))


def _itself(rule: AclBinding) -> AclBindingFilter:
    return AclBindingFilter(
        rule.restype, rule.name, rule.resource_pattern_type, rule.principal, rule.host, rule.operation,
        rule.permission_type,
    )  # fmt: skip
