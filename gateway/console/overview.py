"""All that the console's pages show of the present, as one value: what nobody has to be asked for.

It is made once a second for each page that is open, so that each thing is looked at once; what other modules of the
admin API show of a peer, a share or a grant is what stands here, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict

from gateway.admin import enrolment, grants, peers, shares
from gateway.admin.subscriptions import shown_lane
from gateway.console.history import (
    History,
    by_subscription,
    export_series,
    exports_by_share,
    subscription_series,
)
from gateway.health import Health
from gateway.services import Services
from mesh.lanes.status import LaneState, LaneStatus
from mesh.lanes.warnings import warnings
from mesh.shares import Subscription

MAX_LANES = 2_000
"""Of one subscription in one event; a table of more is for machines."""

Value = dict[str, object]


def overview(services: Services, health: Health, history: History) -> Value:
    registry = services.registry
    statuses = list(services.lanes.statuses())
    lanes = by_subscription(in_order(statuses))
    links = services.links.status()
    return {
        "organization": services.config.organization,
        "gateway": services.config.gateway_name,
        "cluster": services.cluster.kind,
        "peer_address": services.peer_address(),
        "checks": [{"name": each.name, "ok": each.ok, "why": each.why} for each in health.results()],
        "peers": [
            peers.shown(registry.peers[org], links, services.links.sight(org))
            | {"acknowledged": registry.peers[org].acknowledged_sequence}
            for org in sorted(registry.peers)
        ],
        "invites": [
            enrolment.invite_shown(each, services.now_ms())
            for each in sorted(registry.invites.values(), key=lambda each: -each.created_ms)
        ],
        "shares": [shares.shown(services, registry.shares[name]) for name in sorted(registry.shares)],
        "grants": [grants.shown(services, registry.grants[key]) for key in sorted(registry.grants)],
        "subscriptions": [
            subscription_shown(registry.subscriptions[name], lanes.get(name, []), history)
            for name in sorted(registry.subscriptions)
        ],
        "exports": [
            export_shown(peer, share, held, history)
            for (peer, share), held in sorted(exports_by_share(services.links.exports()).items())
        ],
        "warnings": [asdict(each) for each in warnings(statuses)],
        "certificates": dict(services.certificates.status()) if services.certificates is not None else None,
        "audit_end": services.audit.end,
    }


def in_order(statuses: Iterable[LaneStatus]) -> list[LaneStatus]:
    return sorted(statuses, key=lambda each: each.lane)


def subscription_shown(subscription: Subscription, lanes: list[LaneStatus], history: History) -> Value:
    """With the first reason why one of its lanes stands still, the gravest first."""
    trouble = next((each for state in _GRAVE for each in lanes if each.state is state and each.reason), None)
    lags_s = [each.lag_s for each in lanes if each.lag_s is not None]
    lags = [each.lag_records for each in lanes if each.lag_records is not None]
    return {
        "name": subscription.name,
        "peer": subscription.peer,
        "share": subscription.share,
        "state": subscription.state,
        "topics": [{"source": m.source_topic, "destination": m.destination_topic} for m in subscription.topics],
        "patterns": [{"source": p.source_pattern, "destination": p.destination_pattern} for p in subscription.patterns],
        "start": str(subscription.start),
        "policies": {
            "on_foreign_write": subscription.on_foreign_write,
            "on_loss": subscription.on_loss,
            "on_timestamp": subscription.on_timestamp,
            "follow_config": subscription.follow_config,
            "groups": list(subscription.groups),
        },
        "lanes": len(lanes),
        "lane_states": dict(sorted(Counter(str(each.state) for each in lanes).items())),
        "records": sum(each.records for each in lanes),
        "gaps": sum(each.gaps for each in lanes),
        "foreign_writes": sum(each.foreign_writes for each in lanes),
        "lag_records": sum(lags) if lags else None,
        "lag_s": max(lags_s) if lags_s else None,
        "trouble": _trouble(trouble) if trouble is not None else None,
        **rates_shown(history, subscription_series(subscription.name)),
    }


def export_shown(peer: str, share: str, lanes: Iterable[Mapping[str, object]], history: History) -> Value:
    """What a peer reads of a share; `behind` is of the lanes whose ends are known, None where none is."""
    held = [(lane["acknowledged"], lane["log_end"]) for lane in lanes]
    known = [
        max(0, end - done)
        for done, end in held
        if isinstance(done, int) and isinstance(end, int) and min(done, end) >= 0
    ]
    return {
        "peer": peer,
        "share": share,
        "lanes": len(held),
        "behind": sum(known) if known else None,
        **rates_shown(history, export_series(peer, share)),
    }


def rates_shown(history: History, series: str) -> Value:
    """Rounded: what nobody can read off the screen is no reason to send the whole anew."""
    found = history.rates(series)
    if found is None:
        return {"records_per_s": None, "bytes_per_s": None}
    return {"records_per_s": round(found.records_per_s, 1), "bytes_per_s": round(found.bytes_per_s)}


def lanes_of(services: Services, name: str) -> Value:
    """The lanes of one subscription, those that have stopped first, MAX_LANES of them at most."""
    found = by_subscription(in_order(services.lanes.statuses())).get(name, [])
    found.sort(key=lambda each: each.state is not LaneState.STOPPED)
    shown = [shown_lane(each) for each in found[:MAX_LANES]]
    return {"subscription": name, "lanes": shown, "left_out": len(found) - len(shown)}


_GRAVE = (LaneState.STOPPED, LaneState.WAITING, LaneState.RECOVERING)


def _trouble(status: LaneStatus) -> Value:
    return {
        "lane": str(status.lane),
        "state": status.state,
        "code": status.code,
        "reason": status.reason,
        "remedy": status.remedy,
    }
