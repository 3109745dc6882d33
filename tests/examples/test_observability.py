"""Alert rules and dashboard name what a gateway really exposes, and each alert has its line of the runbook."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.metrics import Metrics
from mesh.lanes.status import LaneState
from tests.support.promql import Expression, NotUnderstood, read

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples" / "observability"
RUNBOOK = ROOT / "docs" / "how-to" / "monitor.md"
METRICS = {name: frozenset(labels) for name, _, labels, _ in Metrics().described()}
VALUES = {
    "state": {state.value for state in LaneState},
    "direction": {"import", "export", "sent", "received", "published", "read"},
}
"""Of labels whose values are known."""
SEVERITIES = {"critical", "warning"}

WITHOUT_ALERT = {
    "mesh_application_records_total": "how busy it is",
    "mesh_appends_total": "how busy it is",
    "mesh_lane_gaps": "most are markers and aborted records, which are as they should be; losses stop the lane",
    "mesh_lane_records": "how much was copied",
    "mesh_leaf_renewals_total": "what should happen; when it does not, MeshCertificateEndsSoon tells",
    "mesh_link_bytes_total": "how busy it is",
    "mesh_link_frames_total": "how busy it is",
    "mesh_link_packed_bytes_total": "what compression saves",
    "mesh_link_unpacked_bytes_total": "what compression saves",
    "mesh_mirrored_bytes_total": "how busy it is; when it is too little, the lag tells",
    "mesh_mirrored_records_total": "how busy it is; when it is too little, the lag tells",
    "mesh_source_fetches_total": "what sharing of fetches saves",
}


@cache
def rules() -> list[dict[str, Any]]:
    document = yaml.safe_load((EXAMPLES / "alerts.yaml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


@cache
def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EXAMPLES / "dashboard.json").read_text())
    return found


def targets() -> Iterator[tuple[str, str, str]]:
    """Panel title, expression, legend."""
    for panel in dashboard()["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"], target["legendFormat"]


def used(expressions: list[str]) -> set[str]:
    return {selector.metric for text in expressions for selector in read(text, METRICS).selectors}


def check_values(expression: Expression) -> None:
    for selector in expression.selectors:
        for label, operator, value in selector.matchers:
            given = set(value.split("|")) if operator in {"=~", "!~"} else {value}
            assert label not in VALUES or given <= VALUES[label], f"{selector.metric} never has {label} {value}"


def anchor(heading: str) -> str:
    return re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: str(rule["alert"]))
def test_a_rule_asks_for_what_there_is_and_says_what_to_do(rule: dict[str, Any]) -> None:
    assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
    assert rule["labels"]["severity"] in SEVERITIES
    assert re.fullmatch(r"\d+[mh]", rule.get("for", "1m"))
    expression = read(rule["expr"], METRICS)
    check_values(expression)
    shown = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
    assert shown <= expression.labels, "the series of this alert have no such label"
    page, _, place = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^#+ (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert place == anchor(rule["alert"])
    assert place in map(anchor, headings)


def test_the_runbook_has_a_part_for_each_alert_and_for_no_other() -> None:
    _, _, part = RUNBOOK.read_text().partition("## When an alert fires")
    assert re.findall(r"^### (.+)$", part, re.MULTILINE) == sorted_as_rules(part)


def sorted_as_rules(part: str) -> list[str]:
    """The alerts, in the order of the page's own headings where they are the same ones."""
    order = re.findall(r"^### (.+)$", part, re.MULTILINE)
    names = [str(rule["alert"]) for rule in rules()]
    assert len(names) == len(set(names))
    return sorted(names, key=lambda name: order.index(name) if name in order else len(order))


def test_each_metric_has_an_alert_or_a_reason_why_not() -> None:
    alerted = used([rule["expr"] for rule in rules()])
    assert alerted.isdisjoint(WITHOUT_ALERT)
    assert alerted | set(WITHOUT_ALERT) == set(METRICS), "give a new metric an alert, or say here why it needs none"


@pytest.mark.parametrize(("title", "expression", "legend"), list(targets()), ids=lambda text: str(text)[:40])
def test_a_panel_asks_for_what_there_is(title: str, expression: str, legend: str) -> None:
    found = read(expression, METRICS)
    check_values(found)
    assert set(re.findall(r"{{\s*(\w+)\s*}}", legend)) <= found.labels, title


def test_every_metric_is_on_the_dashboard() -> None:
    assert used([expression for _, expression, _ in targets()]) == set(METRICS), "show a new metric in a panel"


def test_the_dashboard_asks_the_chosen_source_and_its_variables_exist() -> None:
    variables = {variable["name"]: variable for variable in dashboard()["templating"]["list"]}
    for name, variable in variables.items():
        if variable["type"] == "query":
            match = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
            assert match
            assert match[2] in read(match[1], METRICS).labels, name
    text = json.dumps(dashboard()["panels"])
    assert set(re.findall(r"\$\{?(\w+)", text)) <= {*variables, "__rate_interval"}
    ids = [panel["id"] for panel in dashboard()["panels"]]
    assert len(ids) == len(set(ids))


def test_no_panel_lies_over_another() -> None:
    places = [tuple(panel["gridPos"][side] for side in "xywh") for panel in dashboard()["panels"]]
    for number, (x, y, w, h) in enumerate(places):
        assert x + w <= 24
        for x2, y2, w2, h2 in places[:number]:
            assert x >= x2 + w2 or x2 >= x + w or y >= y2 + h2 or y2 >= y + h


@pytest.mark.parametrize(
    "wrong",
    [
        "mesh_lane_lag > 1",
        'mesh_lane_state{stat="stopped"} == 1',
        "rate(mesh_lane_lag_records) > 1",
        "sum by (share) (mesh_links_up)",
        "mesh_links_up[5m]",
        "frobnicate(mesh_links_up)",
        "mesh_links_up > 1)",
        "sum(increase(mesh_links_opened_total[15m])",
        "mesh_links_up and",
    ],
)
def test_an_expression_that_is_wrong_is_noticed(wrong: str) -> None:
    with pytest.raises(NotUnderstood):
        read(wrong, METRICS)
