"""`mesh certs`: our own certificates and the rotation of the CA; `mesh peer repin`: a peer's, after it was missed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli import output, peers
from gateway.cli.client import AdminError
from gateway.cli.context import client

app = typer.Typer(no_args_is_help=True, help="This organization's certificates.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def register(root: typer.Typer) -> None:
    root.add_typer(app, name="certs")


@app.command()
def status(as_json: Json = False) -> None:
    """Show the gateway's certificate, the roots that peers hold of us, and what will need a person."""
    found = client().get("/v1/certificates")
    if as_json:
        output.emit(found)
    else:
        _show(found)


@app.command("rotate-leaf")
def rotate_leaf(as_json: Json = False) -> None:
    """Give the gateway a new certificate with a new key, now; links are replaced before the old ones end."""
    found = client().post("/v1/certificates/rotate-leaf")
    if as_json:
        output.emit(found)
    else:
        output.say(f"the new certificate is valid until {found['leaf']['end']}")


@app.command("rotate-ca")
def rotate_ca(
    plan: Annotated[bool, typer.Option("--plan", help="Say what would happen; change nothing.")] = False,
    start: Annotated[bool, typer.Option("--start", help="Begin: publish a new root to every peer.")] = False,
    status: Annotated[bool, typer.Option("--status", help="Say how far it is and who holds it up (default).")] = False,
    deadline: Annotated[
        str | None,
        typer.Option("--deadline", metavar="TIME", help="With --start: from when peers may be left behind; 7d, 12h."),
    ] = None,
    emergency: Annotated[
        bool,
        typer.Option("--emergency", help="With --start: the CA key is stolen; publish without its root, at once."),
    ] = False,
    without: Annotated[
        list[str] | None,
        typer.Option("--without", metavar="ORGANIZATION", help="After the deadline: go on without it; repeatable."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Replace the CA without stopping: published, acknowledged by each peer, rehearsed, then switched."""
    if plan + start + status + bool(without) > 1:
        raise typer.BadParameter("give one of --plan, --start, --status and --without")
    if (deadline is not None or emergency) and not start:
        raise typer.BadParameter("--deadline and --emergency go with --start")
    if plan:
        _show_plan(client().get("/v1/certificates/rotation/plan"), as_json)
        return
    if start:
        body = {"deadline_s": None if deadline is None else _seconds(deadline), "emergency": emergency}
        found = client().post("/v1/certificates/rotation", body)
    elif without:
        found = client().post("/v1/certificates/rotation/leave", {"peers": without})
    else:
        found = client().get("/v1/certificates")
    if as_json:
        output.emit(found["rotation"])
    else:
        _show_rotation(found["rotation"])


@peers.app.command()
def repin(
    file: Annotated[Path, typer.Argument(help="The peer file that its operator exported anew, - for standard input.")],
    expect_fingerprint: Annotated[
        str, typer.Option("--expect-fingerprint", help="As its operator says it over another channel.")
    ],
    as_json: Json = False,
) -> None:
    """Take a peer's new roots by hand, after it changed its CA while we could not be reached."""
    text = peers.read_file(file)
    org = _org_of(text)
    pinned = client().post(
        f"/v1/peers/{quote(org, safe='')}/repin", {"file": text, "expect_fingerprint": expect_fingerprint}
    )
    if as_json:
        output.emit(pinned)
    else:
        output.say(f"{pinned['org']} is verified by its bundle {pinned['bundle_sequence']} from now on")


def _org_of(text: str) -> str:
    found = re.search(r'"org"\s*:\s*"([^"]{1,255})"', text)
    if found is None:
        raise AdminError("peer-file-refused", "this is not a usable peer file: it names no organization")
    return found[1]


def _seconds(text: str) -> int:
    found = re.fullmatch(r"(\d{1,9})([smhd])", text)
    if found is None:
        raise typer.BadParameter("write it as a number and s, m, h or d: 30m, 12h, 7d", param_hint="--deadline")
    return int(found[1]) * UNITS[found[2]]


def _show(found: dict[str, Any]) -> None:
    leaf, bundle = found["leaf"], found["bundle"]
    renewal = output.moment(leaf["renewal"]) if leaf["renewal"] else "by others"
    rows = {"gateway": found["gateway"], "valid until": output.moment(leaf["end"]), "renewal": renewal}
    output.emit(rows | {"bundle": bundle["sequence"]}, as_json=False)
    roots = [root | {"end": output.moment(root["end"])} for root in bundle["roots"]]
    output.table(roots, {"subject": "root", "end": "valid until"})
    output.table(found["peers"], ["peer", "acknowledged", "refusal"], empty="no active peers")
    for warning in (*found["warnings"], *filter(None, [leaf["fault"]])):
        output.note(warning)
    if found["rotation"] is not None:
        _show_rotation(found["rotation"])


def _show_rotation(rotation: dict[str, Any] | None) -> None:
    if rotation is None:
        output.say("no rotation of the CA; see what one needs with: mesh certs rotate-ca --plan")
        return
    output.say(f"the CA's rotation is {rotation['phase']}; next: {rotation['next']}, {rotation['why']}")
    if rotation["lagging"]:
        output.say(f"waiting for: {', '.join(rotation['lagging'])}")
    if rotation["due"]:
        output.say(f"due: {output.moment(rotation['due'])}")
    if rotation["left"]:
        output.say(f"left behind, to be pinned anew: {', '.join(rotation['left'])}")


def _show_plan(plan: dict[str, Any], as_json: bool) -> None:
    if as_json:
        output.emit(plan)
        return
    if not plan["can_start"]:
        output.say("cannot start: a rotation is under way, or the CA key is not on this machine")
        return
    days = plan["deadline_s"] // UNITS["d"]
    output.say(f"bundle {plan['sequence']} with both roots goes to: {', '.join(plan['peers']) or 'nobody'}")
    output.say("issuing switches when each has acknowledged it and accepted a probe")
    output.say(f"after {days} days (--deadline) a peer that lags may be left behind by name (--without)")
    if plan["never_acknowledged"]:
        output.say(f"never reached so far: {', '.join(plan['never_acknowledged'])}")
