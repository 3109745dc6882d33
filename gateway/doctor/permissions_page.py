"""docs/reference/kafka-permissions.md, made from the table that the doctor asks by."""

from __future__ import annotations

from gateway.doctor.permissions import NEEDS, Kind, Need, Role

_INTRO = """\
# Permissions on Kafka

<!-- Generated: python -m gateway.cli.reference -->

What the principal of a gateway must be allowed, and nothing else. `mesh doctor` asks for each of these rows and names
what is missing and what comes of it; a test on a real broker takes away one row after the other. Before a gateway
starts, or before a topic is shared or subscribed to, ask for it by name:

    mesh doctor --config acme/mesh.toml --source departures --destination globex.arrivals

A lane that meets a missing permission stops with `permission-missing`, naming operation and resource; grant it and
resume. Read, Write, Delete and Alter imply Describe, and Write to any topic implies IdempotentWrite (Apache
Kafka 3.0), so neither needs a rule of its own.
"""

_TITLES = {
    Role.ALWAYS: ("Every gateway", ""),
    Role.SOURCE: ("A gateway whose topics are shared", "On each topic of a share, or on a prefix that holds them."),
    Role.DESTINATION: (
        "A gateway that mirrors into this cluster",
        "On each destination topic, or on a prefix that holds them, and on the names of its lanes' producers. A gateway"
        " that does both needs both tables.",
    ),
    Role.GROUPS: (
        "Moving consumer groups",
        "On each group that `mesh groups` reads or moves, beside the rows of the topics.",
    ),
    Role.CUT: (
        "The strict cut",
        "`mesh subscription promote` needs no more than Write on the transactional ids and the topics, as above,"
        " except for one case.",
    ),
    Role.DOCTOR: (
        "The doctor",
        "`mesh doctor` works without these and says what it cannot know. `--probe-append` makes a scratch topic and"
        " deletes it: Create, Write, Read, DescribeConfigs and Delete on the name given with `--topic`.",
    ),
}

_COMMANDS = """
## As commands

For the principal `User:mesh`, a gateway that shares the topics under `acme.` and mirrors into those under `globex.`:

    acls="kafka-acls.sh --bootstrap-server broker-1:9092 --command-config admin.properties"
    acls="$acls --add --allow-principal User:mesh"
"""

_OUTRO = """
`mesh topic list` shows the topics that the principal may describe; `mesh topic delete` needs Delete on the topic.
"""


def permissions_page() -> str:
    parts = [_INTRO.rstrip()]
    for role, (title, text) in _TITLES.items():
        parts.append(f"\n## {title}\n")
        if text:
            parts.append(f"{text}\n")
        parts.append("| on | operation | to | without it |\n|---|---|---|---|")
        parts += [_row(need) for need in NEEDS if need.role is role]
    return "\n".join(parts) + "\n" + _COMMANDS + "".join(_commands()) + _OUTRO


def _row(need: Need) -> str:
    optional = "" if need.required else " (optional)"
    return f"| {_resource(need)} | {need.operation.title}{optional} | {need.purpose} | {need.follows} |"


def _resource(need: Need) -> str:
    if need.kind is Kind.CLUSTER:
        return "Cluster"
    if need.resource:
        return f"{need.kind} `{need.resource}` (prefixed)"
    return f"each {'group' if need.kind is Kind.GROUP else 'topic'}"


_PREFIXES = {Role.SOURCE: "acme.", Role.DESTINATION: "globex."}
_FLAGS = {Kind.TOPIC: "--topic", Kind.GROUP: "--group", Kind.TRANSACTIONAL_ID: "--transactional-id"}


def _commands() -> list[str]:
    lines: list[str] = []
    by_target: dict[str, list[str]] = {}
    for need in NEEDS:
        if need.kind is Kind.CLUSTER:
            target = "--cluster"
        elif name := need.resource.removesuffix("*") or _PREFIXES.get(need.role, ""):
            target = f"--resource-pattern-type prefixed {_FLAGS[need.kind]} {name}"
        else:
            continue
        by_target.setdefault(target, []).append(f"--operation {need.operation.title}")
    for target, operations in by_target.items():
        lines.append(f"    $acls {target} {' '.join(operations)}\n")
    return lines
