"""`mesh peer`, the part on trust: revoke-leaves, deny, why, doctor."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli import certs, output, peers
from gateway.cli.client import AdminError
from gateway.cli.context import client

Json = peers.Json
Org = peers.Org


def register(root: typer.Typer) -> None:
    """Into the group that `gateway.cli.peers` adds."""
    for command in (revoke_leaves, deny, why, doctor):
        peers.app.command(command.__name__.replace("_", "-"))(command)
    certs.app.command()(disown)


def revoke_leaves(
    org: Org,
    before: Annotated[str, typer.Option("--before", metavar="TIME", help="now, or an ISO date and time.")],
    as_json: Json = False,
) -> None:
    """Declare the peer's certificates from before a time dead. Its newer ones go on."""
    body = {} if before == "now" else {"before_ms": _time_ms(before)}
    peer = client().post(f"/v1/peers/{quote(org, safe='')}/revoke-leaves", body)
    if as_json:
        output.emit(peer)
    else:
        output.say(f"{peer['org']}: certificates from before {output.when(peer['revoked_before_ms'])} are dead")


def deny(
    org: Org,
    key_hash: Annotated[str, typer.Option("--key-hash", metavar="HASH", help="As `mesh peer why` shows it.")],
    as_json: Json = False,
) -> None:
    """Declare one certificate of the peer dead, by the hash of its key."""
    peer = client().post(f"/v1/peers/{quote(org, safe='')}/deny", {"key_hash": key_hash})
    if as_json:
        output.emit(peer)
    else:
        output.say(f"{peer['org']}: {len(peer['denied'])} keys are on its deny list")


def disown(
    key_hash: Annotated[str, typer.Option("--key-hash", metavar="HASH", help="As `mesh peer why FILE` shows it.")],
    as_json: Json = False,
) -> None:
    """Declare a certificate of our own dead, by the hash of its key, and tell every peer."""
    said = client().post("/v1/certificates/disown", {"key_hash": key_hash})
    if as_json:
        output.emit(said)
        return
    for org, why_not in sorted(said["told"].items()):
        output.say(f"{org}: {'told on its next link: ' + why_not if why_not else 'it is on its deny list'}")


def why(
    what: Annotated[str, typer.Argument(metavar="PEER|CERTIFICATE", help="A peer's domain, or a certificate file.")],
    as_json: Json = False,
) -> None:
    """Show step by step why a peer's certificate is accepted or refused, and what its grants say.

    Exit code 1 if the certificate (of several: the newest) is refused.
    """
    if Path(what).is_file():
        said = client().post("/v1/peers-why", {"certificate": peers.read_file(Path(what))})
    else:
        said = client().get(f"/v1/peers/{quote(what, safe='')}/why")
    if as_json:
        output.emit(said)
    else:
        _show_why(said)
    if not said["leaves"][0]["accepted"]:
        raise typer.Exit(1)


def _show_why(said: dict[str, Any]) -> None:
    for leaf in said["leaves"]:
        if "presented_ms" in leaf:
            then = f"refused ({leaf['refused_then']})" if leaf["refused_then"] else "accepted"
            output.say(f"presented at {output.when(leaf['presented_ms'])}, {then} then")
        for step in leaf["steps"]:
            output.say(f"  {'yes' if step['passed'] else 'NO '}  {step['rule']}: {step['detail']}")
        output.say("accepted" if leaf["accepted"] else f"refused: {leaf['reason']}")
    for decision in said["grants"]:
        output.say(f"{decision['request']}: {'allowed' if decision['allowed'] else 'denied, ' + decision['reason']}")
        for step in decision["steps"]:
            output.say(f"       {step}")


def doctor(org: Org, as_json: Json = False) -> None:
    """Try each hop to a peer in order, and say which one fails and what to do.

    Exit code 1 if one does, or if there is no link.
    """
    hops: list[dict[str, Any]] = []
    verdict: dict[str, Any] = {}
    for event in client().stream("GET", f"/v1/peers/{quote(org, safe='')}/doctor"):
        if event.pop("event") == "verdict":
            verdict = event
        else:
            hops.append(event)
            if not as_json:
                _show_hop(event)
    if as_json:
        output.emit({**verdict, "hops": hops})
    else:
        output.say(verdict["sentence"])
    if not verdict["ok"]:
        raise typer.Exit(1)


def _show_hop(hop: dict[str, Any]) -> None:
    mark = {True: "ok  ", False: "FAIL", None: "-   "}[hop["passed"]]
    output.say(f"{mark}  {hop['hop']}: {hop['detail']}" + (f" -> {hop['remedy']}" if hop["remedy"] else ""))


def _time_ms(text: str) -> int:
    # without a zone it is UTC, as everywhere in our output
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise AdminError(
            "time-refused", f"{text!r} is no time", "write now, or for example 2031-05-17T12:00Z"
        ) from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
