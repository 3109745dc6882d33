"""What we keep ourselves, and files and requests of our operator: lane state, registry, audit, configuration, bodies.

Cases of several values are JSON objects of base64, so that a finding can be kept as one file.
"""

from __future__ import annotations

import contextlib
import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from functools import cache
from pathlib import Path
from random import Random
from tempfile import gettempdir
from typing import Any

from gateway.admin.grants import parsed_terms
from gateway.admin.subscriptions import parsed, parsed_policies
from gateway.config import explained, load_config
from gateway.config_docs import render_config
from gateway.peer import Peer
from gateway.registry_codec import Entry, decode, encode, key_of
from mesh.audit import AuditEntry, SignedHead, check_head, verify
from mesh.batch.stamp import Producer
from mesh.errors import MeshError
from mesh.ids import LaneId, OrgId, ShareName, SubscriptionName, TopicId, TopicName
from mesh.lanes.checkpoint import checkpoint_of, entries, load_lane, load_ledger, recorded
from mesh.lanes.ledger import LedgerEntry
from mesh.lanes.losses import LossKind
from mesh.offsets.answers import Exact
from mesh.offsets.map import OffsetMap
from mesh.origins import Hop, TopicOrigin
from mesh.patterns import PatternMapping
from mesh.shares import Grant, GroupAccess, Share, StartAt, Subscription, TopicMapping
from mesh.spans import GapReason
from mesh.trust.enrolment import InviteRecord
from tests.fuzz.findings import Finding, outcome
from tests.fuzz.keys import fixed
from tests.fuzz.mutate import any_value, deep, mutated, mutated_json

_LANE = LaneId(SubscriptionName("flights"), TopicName("departures"), 0)
_TOPIC_ID = TopicId("ab" * 16)
_DEEP_SHARE = 0.003
_NOW_MS = 1_700_000_000_000


def _mutated_json(data: bytes, random: Random) -> bytes:
    return deep(random) if random.random() < _DEEP_SHARE else mutated_json(data, random)


def _b64(data: bytes) -> str:
    return b64encode(data).decode()


# --- the state of a lane


@cache
def _lane_state() -> dict[str, bytes]:
    offset_map = OffsetMap(0)
    for at in range(0, 40, 4):
        offset_map.add_records(at, at - at // 4, 3)
        offset_map.add_gap(at + 3, 1, GapReason.MARKER)
    checkpoint = checkpoint_of(
        offset_map, _TOPIC_ID, offset_map.records, offset_map.destination_offset, Producer(7, 0), 4, losses=1
    )
    loss = LedgerEntry(LossKind.TRIMMED, 1, 5, 1, 1, _NOW_MS, str(_TOPIC_ID))
    stored = entries(_LANE, checkpoint, offset_map, None) | recorded(_LANE, 0, loss)
    return {key: value for key, value in stored.items() if value is not None}


def lane_mutant(random: Random) -> bytes:
    stored = dict(_lane_state())
    for _ in range(random.choice((1, 1, 2))):
        name = random.choice(list(stored))
        value = stored[name]
        stored[name] = _mutated_json(value, random) if value[:1] == b"{" else mutated(value, random)
    if random.random() < 0.1:
        del stored[random.choice(list(stored))]
    return json.dumps({key: _b64(value) for key, value in stored.items()}).encode()


def check_lane(data: bytes) -> str:
    stored = {key: b64decode(value) for key, value in json.loads(data).items()}

    def load() -> None:
        load_ledger(_LANE, stored)
        found = load_lane(_LANE, stored)
        if found is not None:
            _agrees(found[1])

    return outcome(load)


def _agrees(offset_map: OffsetMap) -> None:
    """A map that was loaded is one that translates: forward and back, at every break."""
    for run in offset_map.runs():
        for offset in (run.source_offset, run.source_offset + run.length - 1):
            copy = offset_map.translate(offset)
            back = offset_map.translate_back(copy.offset) if isinstance(copy, Exact) else copy
            if back != Exact(offset):
                raise Finding(f"source offset {offset} translates to {copy} and back to {back}")


# --- the registry


@cache
def _entries() -> tuple[Entry, ...]:
    org, share = OrgId("globex.example"), ShareName("flights")
    mapping = TopicMapping(TopicName("departures"), TopicName("acme.departures"), 3)
    return (
        Peer(fixed("globex.example").held.bundle, ("a.example:7463",), added_ms=5, revoked_before_ms=_NOW_MS),
        InviteRecord("0" * 32, bytes(32), bytes(32), org, _NOW_MS, _NOW_MS + 9, "note", used_ms=_NOW_MS),
        Share(share, (TopicName("departures"),), 2, _NOW_MS, ("dep*",)),
        Grant(share, org, 5, 9, groups=GroupAccess.READ, onward=True),
        Subscription(
            SubscriptionName("flights"), org, share, (mapping,), StartAt("offset", 9), groups=("g",),
            patterns=(PatternMapping.parsed("a*", "b*"),), subscribed_ms=_NOW_MS,
        ),
        TopicOrigin(_TOPIC_ID, TopicName("departures"), (Hop(org, _TOPIC_ID),), True),
    )  # fmt: skip


def registry_mutant(random: Random) -> bytes:
    entry = random.choice(_entries())
    key, data = key_of(entry), encode(entry)
    changed = mutated(key.encode(), random).decode("utf-8", "replace") if random.random() < 0.1 else key
    return json.dumps({"key": changed, "data": _b64(_mutated_json(data, random))}).encode()


def check_registry(data: bytes) -> str:
    document = json.loads(data)

    def parse() -> None:
        entry = decode(document["key"], b64decode(document["data"]))
        if decode(key_of(entry), encode(entry)) != entry:
            raise Finding("an entry does not read as it was written")
        match entry:  # what is asked of each at once
            case Peer():
                _ = entry.trust, entry.dns_name
            case InviteRecord():
                entry.state(_NOW_MS)
            case _:
                repr(entry)

    return outcome(parse)


# --- the audit log


@cache
def _audit() -> tuple[bytes, ...]:
    first = AuditEntry(0, _NOW_MS, "operator", "share.created", "flights", "done", {"topics": "2"})
    second = AuditEntry(1, _NOW_MS, "operator", "share.created", "other", "done", {}, first.hash)
    head = SignedHead(2, second.hash, _NOW_MS, "spiffe://acme.example/gateway/one", b"leaf", b"signature")
    return first.to_bytes(), second.to_bytes(), head.entry().to_bytes()


def audit_mutant(random: Random) -> bytes:
    lines = list(_audit())
    at = random.randrange(len(lines))
    changed = _mutated_json(lines[at], random)
    if random.random() < 0.6:  # canonical again, so that it is read
        with contextlib.suppress(ValueError, RecursionError):
            changed = json.dumps(json.loads(changed), sort_keys=True, separators=(",", ":")).encode()
    lines[at] = changed
    return json.dumps([_b64(line) for line in lines]).encode()


def check_audit(data: bytes) -> str:
    lines = [b64decode(line) for line in json.loads(data)]
    bundle = fixed("acme.example").held.bundle

    def check(head: SignedHead) -> None:
        try:
            check_head(head, bundle)
        except (ValueError, MeshError):  # what the log's reader expects of it
            if head.certificate != b"leaf":
                raise

    return outcome(lambda: verify(lines, (), check))


# --- configuration


@cache
def _config() -> bytes:
    values: dict[str, object] = {"organization": "acme.example", "gateway_name": "one"}
    return render_config(values).encode()


def config_mutant(random: Random) -> bytes:
    """A file as `mesh init` writes it, a line of it switched on, a value or a byte changed."""
    if random.random() < _DEEP_SHARE:
        return b"organization = " + deep(random)
    lines = _config().decode().splitlines()
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(len(lines))
        line = lines[at].removeprefix("# ").removeprefix("#")
        name, equals, _ = line.partition("=")
        if equals and random.random() < 0.7:
            try:
                line = f"{name}= {json.dumps(any_value(random))}"
            except ValueError:
                line = f"{name}= {name}"
        lines[at] = line if random.random() < 0.9 else f"{line}\n{line}"
    text = "\n".join(lines).encode("utf-8", "surrogatepass")
    return mutated(text, random) if random.random() < 0.3 else text


def check_config(data: bytes) -> str:
    path = Path(gettempdir()) / f"mesh-fuzz-{__import__('os').getpid()}.toml"
    path.write_bytes(data)
    try:
        return outcome(lambda: json.dumps(explained(load_config(path, environ={}))))
    finally:
        path.unlink()


# --- bodies of the admin API, as its handlers read them before anything is done

_BODIES: dict[str, tuple[Callable[[dict[str, Any]], object], dict[str, Any]]] = {
    "subscription": (
        parsed,
        {
            "peer": "globex.example", "share": "flights", "name": "flights", "start": "timestamp:2026-01-01T00:00:00Z",
            "topics": [{"source": "departures", "destination": "x"}, {"source": "a*", "destination": "b*"}],
            "on_foreign_write": "stop", "on_loss": "continue", "on_timestamp": "override", "follow_config": True,
            "groups": ["g"],
        },
    ),
    "policies": (parsed_policies, {"on_loss": "stop", "groups": ["g"], "follow_config": False}),
    "terms": (parsed_terms, {"groups": "read", "onward": True, "end_ms": 5}),
}  # fmt: skip


def body_mutant(random: Random) -> bytes:
    name = random.choice(list(_BODIES))
    return name.encode() + b"\n" + mutated_json(json.dumps(_BODIES[name][1]).encode(), random)


def check_body(data: bytes) -> str:
    name, _, text = data.partition(b"\n")
    try:
        body = json.loads(text)
    except (ValueError, RecursionError):
        return "not-json"
    kind = _BODIES.get(name.decode("utf-8", "replace"))
    if kind is None or not isinstance(body, dict):
        return "not-an-object"
    return outcome(lambda: kind[0](body))
