"""`mesh peer`: the organizations we are paired with."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli import completing, output
from gateway.cli.client import AdminError
from gateway.cli.context import client

app = typer.Typer(no_args_is_help=True, help="Organizations that we are paired with.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Org = Annotated[str, typer.Argument(metavar="ORGANIZATION", help="The peer's domain.", autocompletion=completing.peers)]
Addresses = Annotated[
    list[str] | None, typer.Option("--address", metavar="HOST:PORT", help="Where it listens; may be repeated.")
]
PRIVATE_HELP = "Let the partner's addresses lead to private networks or this machine."
Private = Annotated[bool, typer.Option("--allow-private-addresses", help=PRIVATE_HELP)]
MAX_FILE_BYTES = 1 << 20
LOCAL_HOSTS = ("127.", "localhost:", "[::1]:", "0.0.0.0:", "[::]:")
LINK_COLUMNS = {
    "gateway": "gateway",
    "role": "role",
    "address": "address",
    "age": "age",
    "leaf_end": "certificate ends",
    "lanes": "lanes",
}
COLUMNS = {"org": "peer", "state": "state", "gateways": "linked gateways", "addresses": "addresses", "added": "added"}


def register(root: typer.Typer) -> None:
    root.add_typer(app, name="peer")


@app.command()
def export(
    address: Addresses = None,
    file: Annotated[
        Path | None, typer.Option("--output", "-o", help="Write it there; default: standard output.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write the file that a partner needs to add this organization as a peer. It holds no secret."""
    answer = client().get("/v1/peer-file", addresses=",".join(address) if address else None)
    if file is not None:
        _write(file, answer["file"])
    if as_json:
        output.emit(answer)
    elif file is None:
        sys.stdout.write(answer["file"])
    output.note(f"fingerprint {answer['fingerprint']}")
    if not answer["addresses"]:
        output.note("the file names no address: the partner waits for this side to dial")
    for named in answer["addresses"]:
        if named.startswith(LOCAL_HOSTS):
            output.note(f"only this machine can reach {named}: for a partner elsewhere, name another with --address")


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="The partner's peer file, - for standard input.")],
    expect_fingerprint: Annotated[
        str | None, typer.Option("--expect-fingerprint", help="Refuse a file with another fingerprint.")
    ] = None,
    address: Addresses = None,
    allow_private: Private = False,
    as_json: Json = False,
) -> None:
    """Add a peer from the file that its operator exported."""
    body = {
        "file": read_file(file),
        "expect_fingerprint": expect_fingerprint,
        "addresses": address or [],
        "allow_private": allow_private,
    }
    peer = client().post("/v1/peers", body)
    if as_json:
        output.emit(peer)
        return
    output.say(f"added {peer['org']}, {peer['state']}, fingerprint {peer['fingerprint']}")
    if peer["addresses"]:
        output.note(f"it is dialled at {', '.join(peer['addresses'])}")
    if expect_fingerprint is None:
        output.note("compare the fingerprint with its operator over another channel")


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the peers."""
    peers = client().get("/v1/peers")["peers"]
    if as_json:
        output.emit(peers)
        return
    output.table([_row(peer) for peer in peers], COLUMNS, empty="no peers; add one with: mesh peer add FILE")


@app.command()
def show(org: Org, as_json: Json = False) -> None:
    """Show one peer and its links."""
    peer = client().get(f"/v1/peers/{quote(org, safe='')}")
    if as_json:
        output.emit(peer)
        return
    row = _row(peer)
    output.emit({key: row[key] for key in ("org", "state", "addresses", "added", "bundle_sequence")}, as_json=False)
    if peer["state"] == "pending" and peer["phrase"]:
        output.say(f"phrase: {peer['phrase']}")
        waiting = "the partner's approval, and a meeting" if peer["approved"] else f"mesh peer approve {peer['org']}"
        output.note(f"it waits for: {waiting}")
    for trouble in _troubles(peer):
        output.say(trouble)
    output.table([_link(link) for link in peer["links"]], LINK_COLUMNS, empty="no link at the moment")


@app.command("set")
def set_(
    org: Org,
    address: Addresses = None,
    no_addresses: Annotated[bool, typer.Option("--no-addresses", help="It is not dialled: it dials us.")] = False,
    allow_private: Private = False,
    as_json: Json = False,
) -> None:
    """Say where a peer is dialled, in the place of the addresses before."""
    if bool(address) == no_addresses:
        raise typer.BadParameter("name at least one --address, or --no-addresses")
    body = {"addresses": address or [], "allow_private": allow_private}
    peer = client().post(f"/v1/peers/{quote(org, safe='')}/addresses", body)
    if as_json:
        output.emit(peer)
    else:
        output.say(f"{peer['org']} is dialled at {', '.join(peer['addresses']) or 'no address'}")


@app.command()
def suspend(org: Org, as_json: Json = False) -> None:
    """Stop exchanging with a peer until it is resumed."""
    _change(org, "suspend", as_json)


@app.command()
def resume(org: Org, as_json: Json = False) -> None:
    """Go on with a suspended peer."""
    _change(org, "resume", as_json)


@app.command()
def revoke(org: Org, as_json: Json = False) -> None:
    """End a peering for ever."""
    _change(org, "revoke", as_json)


def _change(org: str, verb: str, as_json: bool) -> None:
    peer = client().post(f"/v1/peers/{quote(org, safe='')}/{verb}")
    if as_json:
        output.emit(peer)
    else:
        output.say(f"{peer['org']} is {peer['state']}")


def _link(link: dict[str, Any]) -> dict[str, object]:
    age_s = max(0, int(time.time() - link["since_ms"] / 1000))
    lanes = f"{link['exports']} out, {link['imports']} in"
    return {
        **link,
        "gateway": output.gateway_name(link["gateway"]),
        "age": str(timedelta(seconds=age_s)),
        "leaf_end": output.when(link["leaf_end_ms"]),
        "lanes": lanes,
    }


def _troubles(peer: dict[str, Any]) -> Iterator[str]:
    if peer["bundle_refused"]:
        yield f"nobody can connect as this peer: {peer['bundle_refused']}"
    for each in peer["down"]:
        yield f"{each['address']} is down: {each['sentence']} ({each['code']})"
    if peer["revoked_before_ms"] is not None:
        yield f"its certificates from before {output.when(peer['revoked_before_ms'])} are dead"
    if peer["denied"]:
        yield f"on the deny list: {', '.join(peer['denied'])}"


def _row(peer: dict[str, Any]) -> dict[str, object]:
    gateways = ", ".join(output.gateway_name(link["gateway"]) for link in peer["links"]) or None
    state = f"{peer['state']}, bundle refused" if peer["bundle_refused"] else peer["state"]
    return {**peer, "state": state, "gateways": gateways, "added": output.when(peer["added_ms"])}


def read_file(file: Path) -> str:
    try:
        with sys.stdin.buffer if str(file) == "-" else file.open("rb") as stream:
            return stream.read(MAX_FILE_BYTES + 1).decode("utf-8")
    except OSError as error:
        raise AdminError("file-unreadable", f"cannot read {file}: {os.strerror(error.errno or 0).lower()}") from error
    except UnicodeDecodeError as error:
        raise AdminError("file-unreadable", f"cannot read {file}: it is not text") from error


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise AdminError("file-unwritable", f"cannot write {file}: {os.strerror(error.errno or 0).lower()}") from error
