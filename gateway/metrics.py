"""The gateway's Prometheus metrics: one object, its own registry, no globals.

Counters are raised by whoever sees the event; what a status knows already (lags, states, links) is read when somebody
scrapes, so that it is never stale. Labels name peers, shares and lanes; record keys and values never appear. Every
name here stands in docs/reference/metrics.md.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.meters import BoundApplications, BoundLane, BoundLink
from gateway.services import LinkStatus
from mesh.lanes.status import LaneState, LaneStatus

PREFIX = "mesh_"
LANE = ("peer", "subscription", "topic", "partition")
LANE_GAUGES = {
    "mesh_lane_lag_records": "Source offsets between the lane's position and the last stable offset.",
    "mesh_lane_lag_seconds": "Age of the newest record copied, by this clock and its timestamp; 0 where nothing waits.",
    "mesh_lane_records": "Visible records copied since the lane began.",
    "mesh_lane_gaps": "Source offsets of the lane without a copy.",
    "mesh_lane_foreign_writes": "Writes of others that the lane found in its destination partition.",
    "mesh_lane_stalled_records": "Source offsets beyond the last stable one, held back by open transactions; not lag.",
    "mesh_lane_stalled_seconds": "How long the last stable offset has stood still before them, by this clock.",
    "mesh_lane_retention_seconds": "Seconds until the source's retention reaches the lane; absent: none in sight.",
    "mesh_lane_state": "1 for the state that the lane is in, 0 for the others.",
}
LINK_GAUGE = ("mesh_links_up", "Live links to the peer.")


class Metrics:
    """Made once by the gateway. `observe` names where the state comes from, `render` is the scrape."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._described: list[tuple[str, str, Sequence[str], str]] = []
        self._collector = _StatusCollector()
        self.registry.register(self._collector)
        self.records = self._counter("mirrored_records", "Records mirrored.", "peer", "share", "direction")
        self.bytes = self._counter("mirrored_bytes", "Bytes of record batches mirrored.", "peer", "share", "direction")
        self.appends = self._counter("appends", "Batches appended to the local cluster by lanes.", "peer")
        self.append_failures = self._counter(
            "append_failures", "Appends refused or of unknown outcome.", "peer", "code"
        )
        self.refusals = self._counter("refusals", "Requests of peers that were refused.", "peer", "reason")
        self.handshake_failures = self._counter(
            "handshake_failures", "Links that we dialled and that failed, by error code.", "reason"
        )
        self.frames = self._counter("link_frames", "Frames on links.", "peer", "direction")
        self.link_bytes = self._counter("link_bytes", "Bytes of frames on links.", "peer", "direction")
        self.link_unpacked = self._counter(
            "link_unpacked_bytes",
            "Bytes of batches that were compressed for the way, before (link.compression).",
            "peer",
        )
        self.link_packed = self._counter("link_packed_bytes", "What mesh_link_unpacked_bytes became.", "peer")
        self.source_fetches = self._counter(
            "source_fetches",
            "Fetches for lanes that peers read, by who answered: the cluster, or what was fetched for another lane.",
            "answered_by",
        )
        self.links_opened = self._counter("links_opened", "Links that came up.", "peer", "role")
        self.certificate_expiry = self._gauge(
            "certificate_expiry_seconds", "Seconds until the certificate ends, negative after it.", "subject"
        )
        self.certificate_refusals = self._counter("certificate_refusals", "Certificate files that were not used.")
        self.leaf_renewals = self._counter(
            "leaf_renewals", "Certificates of the gateway that took the place of others."
        )
        self.application_records = self._counter(
            "application_records", "Records that applications published, or were given to read.", "direction"
        )
        self.application_failures = self._counter(
            "application_failures", "Requests to publish or read that were refused or failed, by error code.", "code"
        )
        self.ready = self._gauge("ready", "1 while the gateway is ready.")

    def __repr__(self) -> str:
        return f"<Metrics {len(self.names())} names>"

    def observe(
        self,
        lanes: Callable[[], Iterable[LaneStatus]],
        links: Callable[[], Iterable[LinkStatus]],
        is_ready: Callable[[], bool],
        certificate_expiry_s: Callable[[], Mapping[str, float]] = dict,
    ) -> None:
        """State where each scrape reads the state: lanes, links, readiness, seconds to expiry by subject."""
        self._collector.lanes, self._collector.links = lanes, links
        self._is_ready, self._expiry = is_ready, certificate_expiry_s

    _is_ready: Callable[[], bool] = staticmethod(lambda: False)
    _expiry: Callable[[], Mapping[str, float]] = staticmethod(dict)

    def refused(self, peer: str, reason: str) -> None:
        """A request of `peer` was refused (`unverified` where nobody knows whose); the audit log is told, too."""
        self.refusals.labels(peer, reason).inc()
        self.on_refusal(peer, reason)

    on_refusal: Callable[[str, str], None] = staticmethod(lambda peer, reason: None)

    def lane(self, peer: str, share: str, direction: str) -> BoundLane:
        """The counters of one direction (`import` or `export`) of a share with a peer."""
        return BoundLane(
            self.records.labels(peer, share, direction),
            self.bytes.labels(peer, share, direction),
            self.appends.labels(peer) if direction == "import" else None,
            lambda code: self.append_failures.labels(peer, code).inc(),
        )

    def link(self, peer: str) -> BoundLink:
        """The counters of the links with a peer."""
        sent, received = (peer, "sent"), (peer, "received")
        return BoundLink(
            self.frames.labels(*sent),
            self.link_bytes.labels(*sent),
            self.frames.labels(*received),
            self.link_bytes.labels(*received),
            self.link_unpacked.labels(peer),
            self.link_packed.labels(peer),
        )

    def application(self) -> BoundApplications:
        """The counters of what applications do."""
        return BoundApplications(
            self.application_records.labels("published"),
            self.application_records.labels("read"),
            lambda code: self.application_failures.labels(code).inc(),
        )

    def render(self) -> bytes:
        """The Prometheus text of now."""
        self.ready.set(1 if self._is_ready() else 0)
        self.certificate_expiry.clear()  # a root that has left the bundle ends with it
        for subject, seconds in self._expiry().items():
            self.certificate_expiry.labels(subject).set(seconds)
        return generate_latest(self.registry)

    def names(self) -> list[str]:
        """Every metric by the name that a scrape shows."""
        return [name for name, _, _, _ in self.described()]

    def described(self) -> list[tuple[str, str, Sequence[str], str]]:
        """Name, type, labels and meaning of every metric, by name; docs/reference/metrics.md is made from it."""
        own = [(_shown(name, kind), kind, labels, text) for name, kind, labels, text in self._described]
        lanes = [
            (name, "gauge", (*LANE, "state") if name == "mesh_lane_state" else LANE, text)
            for name, text in LANE_GAUGES.items()
        ]
        return sorted([*own, *lanes, (LINK_GAUGE[0], "gauge", ("peer",), LINK_GAUGE[1])])

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        self._described.append((PREFIX + name, "counter", labels, text))
        return Counter(PREFIX + name, text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        self._described.append((PREFIX + name, "gauge", labels, text))
        return Gauge(PREFIX + name, text, labels, registry=self.registry)


def _shown(name: str, kind: str) -> str:
    return f"{name}_total" if kind == "counter" else name


class _StatusCollector(Collector):
    """Gauges made from statuses at the moment of a scrape: a lane that ended leaves no stale series."""

    def __init__(self) -> None:
        self.lanes: Callable[[], Iterable[LaneStatus]] = tuple
        self.links: Callable[[], Iterable[LinkStatus]] = tuple

    def collect(self) -> Iterable[Metric]:
        everywhere = list(self.lanes())
        # what another gateway runs is in its metrics: a sum over gateways counts each lane once
        lanes = [lane for lane in everywhere if lane.state is not LaneState.ELSEWHERE]
        yield _lane_gauge("mesh_lane_lag_records", lanes, lambda lane: lane.lag_records)
        yield _lane_gauge("mesh_lane_lag_seconds", lanes, lambda lane: lane.lag_s)
        yield _lane_gauge("mesh_lane_records", lanes, lambda lane: lane.records)
        yield _lane_gauge("mesh_lane_gaps", lanes, lambda lane: lane.gaps)
        yield _lane_gauge("mesh_lane_foreign_writes", lanes, lambda lane: lane.foreign_writes)
        yield _lane_gauge("mesh_lane_stalled_records", lanes, lambda lane: lane.stalled_records)
        yield _lane_gauge("mesh_lane_stalled_seconds", lanes, lambda lane: lane.stalled_s)
        yield _lane_gauge("mesh_lane_retention_seconds", lanes, lambda lane: lane.retention_s)
        yield _state_gauge(everywhere)
        yield _link_gauge(self.links())


def _lane_gauge(
    name: str, lanes: Iterable[LaneStatus], value: Callable[[LaneStatus], float | None]
) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, LANE_GAUGES[name], labels=LANE)
    for lane in lanes:
        number = value(lane)
        if number is not None:
            family.add_metric(_labels(lane), number)
    return family


def _state_gauge(lanes: Iterable[LaneStatus]) -> GaugeMetricFamily:
    family = GaugeMetricFamily("mesh_lane_state", LANE_GAUGES["mesh_lane_state"], labels=(*LANE, "state"))
    for lane in lanes:
        for state in LaneState:
            family.add_metric([*_labels(lane), state.value], float(lane.state is state))
    return family


def _link_gauge(links: Iterable[LinkStatus]) -> GaugeMetricFamily:
    name, text = LINK_GAUGE
    up: dict[str, int] = {}
    for link in links:
        up[link.peer] = up.get(link.peer, 0) + 1
    family = GaugeMetricFamily(name, text, labels=("peer",))
    for peer, number in up.items():
        family.add_metric([peer], number)
    return family


def _labels(lane: LaneStatus) -> list[str]:
    return [lane.peer, lane.lane.subscription, lane.lane.topic, str(lane.lane.partition)]
