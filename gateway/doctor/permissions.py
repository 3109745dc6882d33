"""What a gateway's principal must be allowed on a Kafka cluster: the one table that the doctor asks by, that
docs/reference/kafka-permissions.md is made from, and whose rows a test takes away one by one.

Rows are minimal: Read, Write, Delete and Alter imply Describe in Kafka, and Write to any topic implies the right to
write idempotently, so neither stands here by itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, StrEnum

STATE_PREFIX = "_mesh."
NAME_PREFIX = "mesh."


class Role(StrEnum):
    ALWAYS = "always"
    SOURCE = "source"
    """Its topics are shared."""
    DESTINATION = "destination"
    """Topics are mirrored to it."""
    GROUPS = "groups"
    """Consumer groups are moved."""
    CUT = "strict cut"
    DOCTOR = "doctor"


class Kind(StrEnum):
    TOPIC = "Topic"
    GROUP = "Group"
    TRANSACTIONAL_ID = "TransactionalId"
    CLUSTER = "Cluster"


class Operation(IntEnum):
    """By Kafka's numbers, which are bits of `authorizedOperations` too."""

    READ = 3
    WRITE = 4
    CREATE = 5
    DELETE = 6
    ALTER = 7
    DESCRIBE = 8
    DESCRIBE_CONFIGS = 10
    ALTER_CONFIGS = 11

    @property
    def title(self) -> str:
        """As Kafka's tools write it."""
        return "".join(part.capitalize() for part in self.name.split("_"))


@dataclass(frozen=True, slots=True)
class Need:
    """One operation on one resource. `resource` ends in `*` for a prefix; it is empty for each topic of the role."""

    role: Role
    kind: Kind
    resource: str
    operation: Operation
    purpose: str
    follows: str
    """What happens without it."""
    required: bool = True
    """Whether the role works at all without it."""

    def named(self, topic: str = "") -> str:
        """The resource, for people."""
        name = {Kind.CLUSTER: "cluster", Kind.TRANSACTIONAL_ID: "transactional ids"}.get(self.kind, self.kind.lower())
        return name if self.kind is Kind.CLUSTER else f"{name} {topic or self.resource}"


_T, _C = Kind.TOPIC, Kind.CLUSTER
_STATE, _NO_START = f"{STATE_PREFIX}*", "the gateway does not start"
NEEDS = (
    Need(Role.ALWAYS, _T, _STATE, Operation.READ, "read its own state and audit log", _NO_START),
    Need(Role.ALWAYS, _T, _STATE, Operation.WRITE, "store its own state and audit log", _NO_START),
    Need(
        Role.ALWAYS, _T, _STATE, Operation.CREATE, "make these topics at the first start", f"{_NO_START} the first time"
    ),
    Need(Role.ALWAYS, _T, _STATE, Operation.DESCRIBE_CONFIGS, "make sure that they keep what is stored", _NO_START),
    Need(
        Role.ALWAYS,
        Kind.GROUP,
        _STATE,
        Operation.READ,
        "share the lanes out among the gateways of the organization, one or several",
        _NO_START,
    ),
    Need(Role.SOURCE, _T, "", Operation.READ, "read what is shared", "its lanes wait at the partner"),
    Need(
        Role.SOURCE,
        _T,
        "",
        Operation.DESCRIBE_CONFIGS,
        "tell partners retention and sizes",
        "partners cannot subscribe",
    ),
    Need(Role.DESTINATION, _T, "", Operation.READ, "ask the log how far a lane is, and verify", "its lanes stop"),
    Need(Role.DESTINATION, _T, "", Operation.WRITE, "append the copy", "its lanes stop"),
    Need(
        Role.DESTINATION,
        _T,
        "",
        Operation.CREATE,
        "make the topic when it is subscribed to",
        "make the topic yourself, with the source's partitions, before you subscribe",
    ),
    Need(
        Role.DESTINATION,
        _T,
        "",
        Operation.DESCRIBE_CONFIGS,
        "compare the copy's settings with the source's",
        "subscribing is refused",
    ),
    Need(
        Role.DESTINATION,
        _T,
        "",
        Operation.ALTER,
        "add partitions when the source gets more",
        "add partitions yourself when the source grows",
        required=False,
    ),
    Need(
        Role.DESTINATION,
        _T,
        "",
        Operation.ALTER_CONFIGS,
        "follow changes of the source's settings, where the subscription says so",
        "settings do not follow the source's",
        required=False,
    ),
    Need(
        Role.DESTINATION,
        Kind.TRANSACTIONAL_ID,
        f"{NAME_PREFIX}*",
        Operation.WRITE,
        "name the producers of its lanes, so that their epoch can be raised; no record is written in a transaction",
        "its lanes stop",
    ),
    Need(Role.GROUPS, Kind.GROUP, "", Operation.DESCRIBE, "see where a group stands", "it is not listed or translated"),
    Need(
        Role.GROUPS,
        Kind.GROUP,
        "",
        Operation.READ,
        "set the positions of a group that moves here",
        "moving it here is refused",
    ),
    Need(
        Role.CUT,
        _C,
        "",
        Operation.ALTER,
        "cut the writers of a lane whose name the cluster has forgotten (after a week without a restart)",
        "promotion of such a lane is refused, saying so",
        required=False,
    ),
    Need(
        Role.DOCTOR,
        _C,
        "",
        Operation.DESCRIBE,
        "see what is allowed on the cluster itself; also to say how large shared topics are in a partner's plan",
        "the doctor cannot say whether Alter is allowed",
        required=False,
    ),
    Need(
        Role.DOCTOR,
        _C,
        "",
        Operation.DESCRIBE_CONFIGS,
        "read the brokers' settings; also for the replication of the state topics",
        "the doctor cannot judge the brokers' settings",
        required=False,
    ),
)


def needs(role: Role) -> tuple[Need, ...]:
    return tuple(need for need in NEEDS if need.role is role)
