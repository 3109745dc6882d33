"""`mesh apply` and `mesh export`: files against a gateway."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.cli.apply import CHANGES
from tests.support.control_cli import ControlGateway, Said, catalog_of, control_gateway

GLOBEX = "globex.example"
FILE = """\
kind: peer
name: globex.example
spec: {addresses: ['mesh.globex.example:443']}
---
kind: share
name: flights
spec: {topics: [departures, 'orders.*']}
---
kind: grant
name: flights@globex.example
spec: {groups: read, onward: true, end: 2100-01-01T00:00:00Z}
---
kind: subscription
name: prices
spec:
  peer: globex.example
  share: prices
  topics: {eur: globex.eur, 'us.*': 'globex.us.*'}
  state: paused
  on_loss: continue
  groups: [billing]
"""


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[ControlGateway]:
    async with control_gateway(tmp_path) as running:
        await running.done("topic", "create", "departures")
        await running.add_peer(GLOBEX)
        running.admin.links.catalogs[GLOBEX] = catalog_of("prices", {"eur": 1, "us.oil": 1})
        yield running


async def applied(gateway: ControlGateway, text: str, *options: str) -> Said:
    return await gateway.mesh("apply", "-f", "-", *options, stdin=text)


def actions(said: Said) -> dict[str, str]:
    return {f"{each['kind']} {each['name']}": each["action"] for each in said.json["changes"]}


async def test_a_plan_says_what_would_change_and_changes_nothing(gateway: ControlGateway) -> None:
    plan = await applied(gateway, FILE, "--plan")

    assert plan.code == CHANGES
    assert "~ peer globex.example" in plan.out
    assert "addresses  globex.example:7463 -> mesh.globex.example:443" in plan.out
    assert "+ grant flights@globex.example" in plan.out
    assert "end     2100-01-01T00:00:00Z" in plan.out
    assert plan.out.splitlines()[-1] == "plan: 3 to create, 1 to change"
    assert (await gateway.done("share", "list", "--json")).json == []


async def test_applied_twice_it_changes_once(gateway: ControlGateway) -> None:
    first = await applied(gateway, FILE, "--json")
    again = await applied(gateway, FILE, "--plan", "--json")

    assert (first.code, set(actions(first).values())) == (0, {"create", "change"})
    assert {each["outcome"] for each in first.json["changes"]} == {"created", "changed"}
    assert (again.code, set(actions(again).values())) == (0, {"keep"})
    registry = gateway.admin.services.registry
    assert registry.peers[GLOBEX].addresses == ("mesh.globex.example:443",)  # type: ignore[index]
    assert registry.grants["flights@globex.example"].onward
    prices = registry.subscription("prices")
    assert (str(prices.state), str(prices.on_loss), prices.groups) == ("paused", "continue", ("billing",))
    assert prices.destination_of("us.oil") == "globex.us.oil"


@pytest.mark.parametrize("form", ["yaml", "toml", "json"])
async def test_what_is_exported_changes_nothing_when_it_is_applied(
    gateway: ControlGateway, form: str, tmp_path: Path
) -> None:
    await applied(gateway, FILE)
    file = tmp_path / f"everything.{form}"
    if form == "json":
        file.write_text((await gateway.done("export", "--json")).out)
    else:
        await gateway.done("export", "-o", str(file))

    plan = await gateway.done("apply", "-f", str(file), "--plan")

    assert plan.out.splitlines()[-1] == "plan: 4 unchanged"
    token = gateway.admin.token
    assert token not in file.read_text()
    assert "BEGIN" not in file.read_text()


async def test_each_field_is_taken_back_as_it_was_given(gateway: ControlGateway) -> None:
    await applied(gateway, FILE)
    changed = FILE.replace("departures, 'orders.*'", "'orders.*'").replace("groups: read, onward: true", "groups: none")
    changed = changed.replace("state: paused", "state: active").replace("[billing]", "[]")
    changed = changed.replace("mesh.globex.example:443", "other.globex.example:443")

    said = await applied(gateway, changed)

    assert said.out.splitlines()[-1] == "applied: 4 changed"
    assert "topics  departures, orders.* -> orders.*" in said.out
    assert "onward" not in said.out  # not stated, so it stays
    registry = gateway.admin.services.registry
    assert (registry.share("flights").topics, registry.share("flights").version) == ((), 2)
    assert registry.grants["flights@globex.example"].onward
    ended = await applied(gateway, "kind: grant\nname: flights@globex.example\nspec: {state: revoked}")
    assert (ended.code, registry.grants["flights@globex.example"].state) == (0, "revoked")
    left = await applied(gateway, "kind: peer\nname: globex.example\nspec: {state: suspended}")
    assert (left.code, registry.peers[GLOBEX].state) == (0, "suspended")  # type: ignore[index]


async def test_what_is_refused_leaves_the_others_and_says_what_to_do(gateway: ControlGateway) -> None:
    text = "kind: peer\nname: initech.example\n---\n" + FILE + "---\nkind: share\nname: b\nspec: {topics: [nowhere]}"

    said = await applied(gateway, text)

    assert said.code == 1
    assert "! peer initech.example" in said.out
    assert "remedy: mesh peer invite --expect-domain initech.example" in said.out
    assert "there is no topic 'nowhere'" in said.out or "topic 'nowhere'" in said.out
    assert said.out.splitlines()[-1] == "applied: 3 created, 1 changed, 1 refused, 1 failed"
    assert (await applied(gateway, FILE, "--plan")).code == 0


async def test_a_plan_foresees_what_the_provider_would_refuse(gateway: ControlGateway) -> None:
    wanted = "kind: subscription\nname: a\nspec: {peer: globex.example, share: prices, topics: [gbp]}"

    plan = await applied(gateway, wanted, "--plan")

    assert plan.code == 1
    assert "share 'prices' has no topic 'gbp'" in plan.out
    assert plan.out.splitlines()[-1] == "plan: 1 would fail"


async def test_a_file_with_a_fault_changes_nothing(gateway: ControlGateway) -> None:
    said = await gateway.refused("declaration-refused", "apply", "-f", "-", stdin=FILE + "---\nkind: shar\nname: c")

    assert "standard input, object 5 (c): kind: it must be one of" in said
    assert (await gateway.done("share", "list", "--json")).json == []
    said = await gateway.refused("declaration-refused", "apply", "-f", "-", stdin=FILE + "#" * (1 << 20))
    assert "it is larger than 1048576 bytes" in said


async def test_kinds_are_exported_alone(gateway: ControlGateway) -> None:
    await applied(gateway, FILE)

    found = json.loads((await gateway.done("export", "--kind", "share", "--kind", "grant", "--json")).out)

    assert [each["kind"] for each in found] == ["share", "grant"]
    assert found[0] == {"kind": "share", "name": "flights", "spec": {"topics": ["departures", "orders.*"]}}
    assert (await gateway.done("export", "--format", "toml")).out.startswith('[[object]]\nkind = "peer"\n')


async def test_a_peer_is_dialled_elsewhere_from_now_on(gateway: ControlGateway) -> None:
    said = await gateway.done(
        "peer", "set", GLOBEX, "--address", "a.globex.example:1", "--address", "b.globex.example:2"
    )
    assert "is dialled at a.globex.example:1, b.globex.example:2" in said.out
    await gateway.refused("peer-address-refused", "peer", "set", GLOBEX, "--address", "nonsense")
    assert (await gateway.done("peer", "set", GLOBEX, "--no-addresses", "--json")).json["addresses"] == []


async def test_nothing_is_taken_out_by_saying_nothing(gateway: ControlGateway) -> None:
    await applied(gateway, FILE)
    for path in ("/v1/shares/flights/set", f"/v1/peers/{GLOBEX}/addresses"):
        async with gateway.admin.session.post(f"{gateway.admin.url}{path}", json={}) as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (400, "body-refused")

    assert (await gateway.done("apply", "-f", "-", "--plan", stdin=FILE)).out == "plan: 4 unchanged\n"
