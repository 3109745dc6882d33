"""What the answers of the admin API hold, as JSON Schema: every field by name, none beside them.

The tests hold every answer of the admin API against it.
"""

from __future__ import annotations

from gateway.http.schemas import (
    FLAG,
    REPORT,
    TEXT,
    TEXT_MAP,
    WHOLE,
    choice_of,
    list_of,
    null_or,
    object_of,
    with_fields,
)
from mesh.groups import GroupState
from mesh.shares import (
    GrantState,
    GroupAccess,
    OnForeignWrite,
    OnLoss,
    OnTimestamp,
    PeerState,
    SubscriptionState,
)
from mesh.trust.enrolment import InviteState

ERROR = object_of({"error": object_of({"code": TEXT, "sentence": TEXT, "remedy": TEXT, "actor": TEXT})})

RANGE = object_of({"start": WHOLE, "end": WHOLE, "last_stable": WHOLE})
TOPIC = object_of(
    {"name": TEXT, "topic_id": TEXT, "partitions": WHOLE, "config": TEXT_MAP, "mirrored_by": null_or(TEXT)},
    {"ranges": list_of(RANGE)},
)

SHARE = object_of(
    {
        "name": TEXT,
        "version": WHOLE,
        "topics": list_of(TEXT),
        "patterns": list_of(TEXT),
        "created_ms": WHOLE,
        "granted_to": list_of(TEXT),
    }
)

GRANT = object_of(
    {
        "id": TEXT,
        "share": TEXT,
        "peer": TEXT,
        "state": choice_of(GrantState),
        "start_ms": WHOLE,
        "end_ms": null_or(WHOLE),
        "groups": choice_of(GroupAccess),
        "onward": FLAG,
        "allowed": FLAG,
        "reason": TEXT,
    }
)
DECISION = object_of(
    {"request": TEXT, "allowed": FLAG, "reason": TEXT, "steps": list_of(TEXT), "until_ms": null_or(WHOLE)}
)

PAIR = object_of({"source": TEXT, "destination": TEXT})
SUBSCRIPTION = object_of(
    {
        "name": TEXT,
        "peer": TEXT,
        "share": TEXT,
        "topics": list_of(PAIR),
        "patterns": list_of(PAIR),
        "start": TEXT,
        "state": choice_of(SubscriptionState),
        "on_foreign_write": choice_of(OnForeignWrite),
        "on_loss": choice_of(OnLoss),
        "on_timestamp": choice_of(OnTimestamp),
        "follow_config": FLAG,
        "groups": list_of(TEXT),
        "lane_states": {"type": "object", "additionalProperties": WHOLE},
        "lag_records": null_or(WHOLE),
    }
)
GAPS = object_of({"subscription": TEXT, "gaps": list_of(REPORT), "truncated": FLAG})

PEER = object_of(
    {
        "org": TEXT,
        "state": choice_of(PeerState),
        "addresses": list_of(TEXT),
        "added_ms": WHOLE,
        "bundle_sequence": WHOLE,
        "certificates": WHOLE,
        "approved": FLAG,
        "phrase": TEXT,
        "revoked_before_ms": null_or(WHOLE),
        "denied": list_of(TEXT),
        "bundle_refused": null_or(TEXT),
        "failure": null_or(REPORT),
        "down": list_of(REPORT),
        "last_alive_ms": {"type": "object", "additionalProperties": WHOLE},
        "links": list_of(REPORT),
    }
)
PEER_WITH_FINGERPRINT = with_fields(PEER, fingerprint=TEXT)
PEER_FILE = object_of({"org": TEXT, "fingerprint": TEXT, "addresses": list_of(TEXT), "file": TEXT})
REPINNED = object_of({"org": TEXT, "bundle_sequence": WHOLE, "fingerprint": TEXT})
WHY = object_of({"org": TEXT, "leaves": list_of(REPORT), "grants": list_of(REPORT)})
DISOWNED = object_of({"key_hash": TEXT, "told": REPORT})

INVITE = object_of(
    {
        "id": TEXT,
        "expect_domain": TEXT,
        "name": TEXT,
        "state": choice_of(InviteState),
        "created_ms": WHOLE,
        "expires_ms": WHOLE,
        "used_ms": null_or(WHOLE),
        "strikes": WHOLE,
    }
)

CATALOG_TOPIC = object_of({"name": TEXT, "partitions": WHOLE, "topic_id": TEXT, "config": TEXT_MAP})
CATALOG_SHARE = object_of(
    {"name": TEXT, "version": WHOLE, "grant_end_ms": null_or(WHOLE), "topics": list_of(CATALOG_TOPIC)}
)

TRANSLATION = {
    "anyOf": [
        {"type": "object", "required": ["subscription", "topic", "partition", "answer"]},
        object_of({"answers": list_of(REPORT)}),
    ]
}

GROUP = object_of(
    {"group": TEXT, "state": choice_of(GroupState)},
    {"subscription": TEXT, "topics": list_of(TEXT), "partitions": WHOLE},
)
GROUP_SHOWN = object_of({"group": TEXT, "state": TEXT, "members": WHOLE, "positions": list_of(REPORT)})
MOVE = object_of(
    {
        "subscription": TEXT,
        "direction": TEXT,
        "group": TEXT,
        "target": TEXT,
        "has_members": FLAG,
        "target_has_members": FLAG,
        "unanswered": WHOLE,
        "positions": list_of(REPORT),
    }
)

SETTING = object_of({"key": TEXT, "value": {}, "origin": TEXT})
CONFIG = object_of({"path": null_or(TEXT), "settings": list_of(SETTING), "fault": TEXT, "restart": list_of(TEXT)})
RELOADED = object_of({"applied": list_of(TEXT), "restart": list_of(TEXT)})
STATUS = object_of(
    {
        "organization": TEXT,
        "gateway": TEXT,
        "now_ms": WHOLE,
        "peer_address": TEXT,
        "cluster": TEXT,
        "lanes": list_of(REPORT),
        "warnings": list_of(REPORT),
        "links": list_of(REPORT),
        "exports": list_of(REPORT),
    }
)
