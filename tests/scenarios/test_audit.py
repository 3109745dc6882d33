"""The audit log of a gateway that is stopped, killed and tampered with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import apsw
import pytest

from gateway.embedded import checksums
from tests.support.organization import Organization, stop_all, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def test_who_did_what_survives_kills_and_shows_tampering(tmp_path: Path) -> None:
    # 1. acme shares a topic with globex, and takes it back
    acme = Organization.init(tmp_path / "acme", "acme.example")
    globex = Organization.init(tmp_path / "globex", "globex.example")
    with stop_all(acme, globex):
        acme.start()
        globex.start()
        acme.mesh("topic", "create", "departures")
        acme.pair(globex)
        acme.share("flights", globex, "departures")
        globex.mesh("subscribe", "acme.example/flights", "--topic", "departures=copy")
        wait_for("the lane to run", lambda: [lane["state"] for lane in globex.lanes()] == ["running"])
        acme.mesh("grant", "revoke", "flights", "--from", "globex.example")

        # 2. globex asks again, and the refusal is on record as its doing, the rest as the operator's
        wait_for("the refusal to be written", lambda: of(acme, "peer.refused"))
        assert of(acme, "peer.refused")[0]["actor"] == "peer:globex.example"
        assert [entry["actor"] for entry in of(acme, "grant")] == ["operator", "operator"]
        assert [entry["action"] for entry in of(globex, "subscription")] == ["subscription.created"]

        # 3. it is killed and started again: the chain goes on
        acme.kill()
        acme.start()
        assert acme.stop() == 0
        acme.start()
        assert [entry["action"].partition(".")[2] for entry in of(acme, "gateway")] == [
            "started", "started", "stopped", "started",
        ]  # fmt: skip
        assert "verified" in acme.mesh("audit", "verify").out
        kept = tmp_path / "kept.jsonl"
        acme.mesh("audit", "export", "--output", str(kept))
        assert acme.stop() == 0

        # 4. somebody takes the last entries away, with all rights on the file: that shows, at once and later
        checksums.load()
        db = apsw.Connection(str(acme.home / "data" / "log.sqlite"), vfs=checksums.VFS)
        db.execute("DROP TRIGGER audit_is_not_removed")
        db.execute("DELETE FROM audit WHERE entry_index > 3")
        db.close()
        acme.launch()
        wait_for("the gateway to say that it was changed", lambda: "audit log was changed" in acme.log)
        acme.wait_ready()
        assert acme.refuses("audit", "verify").code == "audit-broken"
        # what was exported before still proves what there was, without any gateway
        assert acme.stop() == 0
        assert "verified" in acme.mesh("audit", "verify", str(kept)).out


def of(organization: Organization, action: str) -> list[dict[str, Any]]:
    said = organization.mesh("audit", "list", "--action", action, "--json")
    return [json.loads(line) for line in said.out.splitlines()]
