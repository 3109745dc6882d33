"""`mesh audit`: what was decided about trust, by whom, and proof that nobody changed the record."""

from __future__ import annotations

import json
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from certs.own import load_own
from certs.store import read_certificates
from gateway.audit.reading import anchors, judged, shown_verdict
from gateway.cli import output
from gateway.cli.client import AdminError
from gateway.cli.context import client, config_path
from gateway.cli.grants import milliseconds
from gateway.config import load_config
from mesh.trust.bundle import Bundle

app = typer.Typer(no_args_is_help=True, help="Who decided what about trust.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON, an entry a line.")]
COLUMNS = {"index": "entry", "time": "time", "actor": "actor", "action": "action", "object": "object",
           "outcome": "outcome", "details": "details"}  # fmt: skip


def register(root: typer.Typer) -> None:
    root.add_typer(app, name="audit")


@app.command("list")
def list_(
    since: Annotated[str | None, typer.Option("--since", metavar="TIME", help="From then on; ISO time or ms.")] = None,
    action: Annotated[
        str | None, typer.Option("--action", help="Only this action, such as peer.revoked, or all of peer.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Wait for more until interrupted.")] = False,
    as_json: Json = False,
) -> None:
    """List the entries, oldest first."""
    entries = client().stream("GET", "/v1/audit", since_ms=milliseconds(since), action=action, follow=follow)
    try:
        if as_json:
            for entry in entries:
                sys.stdout.write(output.tame_json(json.dumps(entry, ensure_ascii=False)) + "\n")
                sys.stdout.flush()
        elif follow:
            for entry in entries:
                row = _row(entry)
                output.say("  ".join(output.plain(row[key]) for key in COLUMNS))
        else:
            output.table([_row(entry) for entry in entries], COLUMNS, right=("index",), empty="no entries")
    except KeyboardInterrupt:
        raise typer.Exit(0 if follow else 130) from None


@app.command()
def verify(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="An export; default: the running gateway's own log.")
    ] = None,
    certificate: Annotated[
        Path | None, typer.Option("--certificate", help="The organization's CA certificates, for FILE; default: ours.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Check that no entry was altered, dropped or moved. Exit code 1 where one was, with the first bad entry.

    A FILE is checked without a gateway. What was cut off at its end shows only by the time of its last signed head.
    """
    found: dict[str, Any] = client().get("/v1/audit/verify") if file is None else _verify_file(file, certificate)
    if as_json:
        output.emit(found)
        return
    output.say(f"verified: {found['entries']} entries, {found['heads']} signed heads")
    if found["signer"] is None:
        output.note("nobody has signed it yet")
        return
    output.say(f"entries before {found['signed']} are signed by {found['signer']}, {output.when(found['signed_ms'])}")


@app.command()
def export(
    file: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="Write it there.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Write the whole log, a head signed now at its end: keep it where nobody of this organization can change it."""
    count = 0
    try:
        with file.open("wb") as out:
            for block in client().stream_blocks("GET", "/v1/audit/export"):
                out.write(block)
                count += block.count(b"\n")
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise AdminError("file-unwritable", f"cannot write {file}: {os.strerror(error.errno or 0).lower()}") from error
    if as_json:
        output.emit({"file": str(file), "entries": count})
    else:
        output.say(f"wrote {count} entries to {file}")


def _verify_file(file: Path, certificate: Path | None) -> dict[str, Any]:
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise AdminError("file-unreadable", f"cannot read {file}: {os.strerror(error.errno or 0).lower()}") from error
    return shown_verdict(judged(lines, [], _bundle(certificate)))


def _bundle(certificate: Path | None) -> Bundle:
    if certificate is not None:
        return anchors(read_certificates(certificate))
    config = load_config(config_path())
    return load_own(config.keys_dir, config.organization, datetime.now(UTC)).bundle


def _row(entry: dict[str, Any]) -> dict[str, Any]:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=entry["time_ms"])
    hidden = ("certificate", "signature")
    details = [f"{key}={value}" for key, value in entry["details"].items() if key not in hidden]
    return {**entry, "time": moment.strftime("%Y-%m-%d %H:%M:%SZ"), "details": details or None}
