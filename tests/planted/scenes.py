"""Scenes with gateway processes, for what no simulation sees: each fills a run directory, which the verifier judges.

    python -m tests.planted.scenes revocation       one line of JSON, as the hunt says it (`tests.planted.hunt`)

Run in a copy of the project, the gateways are of that copy. They stand on the embedded log and on loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import grpc

from gateway.rpc.identity import Identity
from mesh.ids import GatewayId, OrgId
from mesh.trust.bundle import Bundle
from mesh.trust.peerfile import PeerFile, parse_peer_file
from tests.drills.door import Door, calling, catalog
from tests.lab.admin import asking
from tests.lab.collect import RunDirectory, Where, table_lines
from tests.lab.logs import EmbeddedLogs, stored_of
from tests.lab.writers import append
from tests.lab.writing import WriteJournal
from tests.planted.hunt import Found, first_sentence
from tests.support.organization import Organization, wait_for
from tests.support.trust import GATEWAY, identity_of
from tests.support.trust import Organization as Outsider
from tests.support.trust import organization as outsider
from tests.verifier.findings import Verdict
from tests.verifier.judging import judge
from tests.verifier.reading import read_run

SHARE, TOPIC, LANE = "flights", "departures", "departures-0"
ORIGIN, COPY = Where("acme", TOPIC, 0), Where("globex", f"acme.{TOPIC}", 0)
RECORDS = 20
BOUND_S = 0.5
"""From a revocation's return to silence: the product promises two seconds, and on loopback it takes none."""
LATE_S = 1.5
"""How long a lane that is still open would take at most to bring what is new."""


def revocation(directory: Path, stack: ExitStack) -> tuple[str, ...]:
    """A grant is revoked while its lane is open, then more is written. Returns the checks that were judged."""
    acme, globex = _started(directory, stack, "acme", "globex")
    notes = RunDirectory(directory / "run")
    logs = EmbeddedLogs(acme.home / "data"), EmbeddedLogs(globex.home / "data")
    acme.mesh("topic", "create", TOPIC)
    acme.pair(globex)
    acme.share(SHARE, globex, TOPIC)
    notes.note_trust("opened", grant=SHARE)
    globex.mesh("subscribe", f"acme.example/{SHARE}", "--topic", f"{TOPIC}={COPY.topic}")
    journal = WriteJournal(notes.path, "writer", "acme", Random(1))
    _write(acme, journal)
    wait_for("the copies", lambda: _end(logs[1], COPY) >= RECORDS)
    acme.mesh("grant", "revoke", SHARE, "--from", globex.org)
    notes.note_trust("revoked", grant=SHARE)
    time.sleep(BOUND_S)
    asked_s = time.monotonic()
    _probe(notes, asked_s, RECORDS, _end(logs[1], COPY))
    _write(acme, journal)
    journal.close()
    _await_late(lambda: _end(logs[1], COPY) > RECORDS)
    _describe(notes, settled=False)
    stored = stored_of(logs[1].state(SHARE, TOPIC, 0))
    assert stored is not None
    notes.note_producer(LANE, *stored.producer, "the lane's state")
    end = _end(logs[1], COPY)
    lines = table_lines(asking(globex), SHARE, TOPIC, 0, range(stored.position), range(end))
    notes.note_table(LANE, lines, 0, stored.position, end)
    logs[0].read(ORIGIN, notes)
    logs[1].read(COPY, notes)
    return ("prefix", "no duplicate", "no reorder", "no phantom", "fidelity", "fencing", "authorization")


def foreign_root(directory: Path, stack: ExitStack) -> tuple[str, ...]:
    """A peer's CA signs for another peer's id, and somebody calls with that."""
    (acme,) = _started(directory, stack, "acme")
    notes = RunDirectory(directory / "run")
    today = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    globex, mallory = (outsider(f"{name}.example", today) for name in ("globex", "mallory"))
    for each in (globex, mallory):
        acme.mesh("peer", "add", "-", stdin=PeerFile(each.bundle).to_json().encode())
    bundle = parse_peer_file(acme.mesh("peer", "export").out, datetime.now(UTC)).bundle
    asyncio.run(_call(notes, acme, bundle, globex.identity(), globex.org, globex.org))
    asyncio.run(_call(notes, acme, bundle, _forged(mallory, globex.org), globex.org, mallory.org))
    notes.describe(1, [])
    return ("authorization",)


SCENES: dict[str, Callable[[Path, ExitStack], tuple[str, ...]]] = {
    "revocation": revocation,
    "foreign root": foreign_root,
}


def played(scene: str, check: str) -> Found:
    """What the verifier finds in the scene's run; with no check, anything that it finds."""
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="scene-") as name, ExitStack() as stack:
        wanted = SCENES[scene](Path(name), stack)
        judgements = [each for each in judge(read_run(Path(name, "run"))) if each.check in wanted]
    failed = {each.check: first_sentence(each) for each in judgements if each.verdict is Verdict.FAIL}
    unjudged = [each for each in judgements if each.verdict is Verdict.NOT_JUDGED]
    assert not unjudged, unjudged
    named = check if check in failed else next(iter(failed), "") if not check else ""
    others = tuple(each for each in failed if each != named)
    return Found(1 if named else -1, named, failed.get(named, ""), 1, time.monotonic() - began_s, others)


def _started(directory: Path, stack: ExitStack, *names: str) -> list[Organization]:
    found = [Organization.init(directory / name, f"{name}.example") for name in names]
    for each in found:
        each.settings = ("timing.reconnect_initial_s=0.05", "timing.reconnect_max_s=0.2")
        stack.callback(each.kill)
        each.launch()
    for each in found:
        each.wait_ready()
    return found


def _write(acme: Organization, journal: WriteJournal) -> None:
    """A handful of records, in one request."""
    append(
        acme,
        TOPIC,
        [journal.sent(TOPIC, 0, b"key", b"value", [], 1_700_000_000_000 + at) for at in range(RECORDS)],
        journal,
    )


def _end(logs: EmbeddedLogs, where: Where) -> int:
    try:
        (end,) = logs.ends([where])
    except OSError:  # not made yet
        return 0
    return end


def _probe(notes: RunDirectory, asked_s: float, source_end: int, destination_end: int) -> None:
    line = {"lane": LANE, "asked_s": asked_s, "at_s": time.monotonic(), "source_end": source_end}
    line |= {"position": source_end, "destination_end": destination_end}
    with (notes.path / "ends.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _await_late(came: Callable[[], bool]) -> None:
    """Until something came that must not, or long enough has passed for it."""
    deadline = time.monotonic() + LATE_S
    while time.monotonic() < deadline and not came():
        time.sleep(0.02)


def _describe(notes: RunDirectory, *, settled: bool) -> None:
    lane: dict[str, object] = {"lane": LANE, "source": ORIGIN.told(), "destination": COPY.told(), "grant": SHARE}
    notes.describe(1, [lane | {"settled": settled}], revocation_bound_s=BOUND_S / 2)


def _forged(issuer: Outsider, claimed: OrgId) -> Identity:
    return identity_of(issuer.forge(claimed), GatewayId(claimed, GATEWAY))


async def _call(
    notes: RunDirectory, acme: Organization, bundle: Bundle, identity: Identity, claimed: OrgId, issuer: OrgId
) -> None:
    async with calling(Door(acme.peers, bundle, list), identity) as channel:
        try:
            await catalog(channel)
            what = "admitted"
        except grpc.aio.AioRpcError:
            what = "refused"
    notes.note_trust(what, claimed=claimed, issuer=issuer)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.planted.scenes", description=__doc__)
    parser.add_argument("scene", choices=SCENES)
    parser.add_argument("--check", default="", help="which check must fail; empty: any")
    options = parser.parse_args()
    print(json.dumps(asdict(played(options.scene, options.check))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
