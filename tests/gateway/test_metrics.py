"""Metrics: what a scrape shows is what the gateway knows at that moment."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from gateway.metrics import Metrics
from gateway.services import LinkStatus
from mesh.ids import LaneId, OrgId, SubscriptionName, TopicName
from mesh.lanes.status import LaneState, LaneStatus


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[str]], float]:
    """The values of a scrape by metric and the values of its labels."""
    families = text_string_to_metric_families(metrics.render().decode())
    return {
        (sample.name, frozenset(sample.labels.values())): sample.value
        for family in families
        for sample in family.samples
    }


def lane(state: LaneState, lag: int | None) -> LaneStatus:
    name = LaneId(SubscriptionName("copy"), TopicName("t"), 3)
    return LaneStatus(name, "acme.example", "local", state, lag_records=lag, lag_s=None if lag is None else 1.5)


def test_a_scrape_reads_the_lanes_of_now_and_forgets_ended_ones() -> None:
    lanes = [lane(LaneState.RUNNING, 7)]
    metrics = Metrics()
    metrics.observe(lambda: lanes, tuple, lambda: True)
    place = frozenset({"acme.example", "copy", "t", "3"})

    first = samples(metrics)
    lanes[0] = lane(LaneState.STOPPED, None)
    second = samples(metrics)
    lanes.clear()
    third = samples(metrics)

    assert (first[("mesh_lane_lag_records", place)], first[("mesh_lane_lag_seconds", place)]) == (7, 1.5)
    assert first[("mesh_lane_state", place | {"running"})] == 1
    assert ("mesh_lane_lag_records", place) not in second
    assert second[("mesh_lane_state", place | {"running"})] == 0
    assert second[("mesh_lane_state", place | {"stopped"})] == 1
    assert not any(name.startswith("mesh_lane") for name, _ in third)


def test_links_are_counted_by_peer() -> None:
    link = LinkStatus(OrgId("acme.example"), "gateway", "dialler", 0, "127.0.0.1:1")
    metrics = Metrics()
    metrics.observe(tuple, lambda: [link, link], lambda: False, lambda: {"own": 60.0})

    found = samples(metrics)

    assert found[("mesh_links_up", frozenset({"acme.example"}))] == 2
    assert found[("mesh_certificate_expiry_seconds", frozenset({"own"}))] == 60
    assert found[("mesh_ready", frozenset())] == 0


def test_two_gateways_in_one_process_do_not_share_counts() -> None:
    one, two = Metrics(), Metrics()
    one.refusals.labels("acme.example", "grant-absent").inc()

    assert samples(one)[("mesh_refusals_total", frozenset({"acme.example", "grant-absent"}))] == 1
    assert ("mesh_refusals_total", frozenset({"acme.example", "grant-absent"})) not in samples(two)


def test_every_metric_that_a_scrape_shows_is_described() -> None:
    metrics = Metrics()
    metrics.observe(lambda: [lane(LaneState.RUNNING, 1)], tuple, lambda: True)

    families = {family.name for family in text_string_to_metric_families(metrics.render().decode())}
    shown = {name for name in families if not name.endswith("_created")}  # the client's own companion of a counter

    assert shown == {name.removesuffix("_total") for name in metrics.names()}


def test_meters_count_by_peer_share_and_direction() -> None:
    metrics = Metrics()
    copied, read = metrics.lane("acme.example", "flights", "import"), metrics.lane("acme.example", "flights", "export")
    copied.moved(3, 100)
    read.moved(5, 7)
    copied.append_failed("disk-full")
    link = metrics.link("acme.example")
    link.sent(10)
    link.received(20)
    link.received(20)

    found = samples(metrics)

    assert found[("mesh_mirrored_records_total", frozenset({"acme.example", "flights", "import"}))] == 3
    assert found[("mesh_mirrored_bytes_total", frozenset({"acme.example", "flights", "export"}))] == 7
    assert found[("mesh_appends_total", frozenset({"acme.example"}))] == 1
    assert found[("mesh_append_failures_total", frozenset({"acme.example", "disk-full"}))] == 1
    assert found[("mesh_link_frames_total", frozenset({"acme.example", "received"}))] == 2
    assert found[("mesh_link_bytes_total", frozenset({"acme.example", "sent"}))] == 10
