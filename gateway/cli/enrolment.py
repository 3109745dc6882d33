"""`mesh peer invite`, `accept`, `approve`, `reject` and `invites`: first contact with a partner."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli import output
from gateway.cli.client import AdminError
from gateway.cli.context import client
from gateway.cli.peers import Addresses, Json, Org, Private, app, read_file

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
COLUMNS = {
    "id": "invite",
    "expect_domain": "for",
    "name": "name",
    "state": "state",
    "until": "until",
    "strikes": "strikes",
}
MAX_WORDS_BYTES = 256


def register(root: typer.Typer) -> None:
    """The commands stand in the group of `mesh peer`."""


@app.command()
def invite(
    expect_domain: Annotated[
        str,
        typer.Option("--expect-domain", metavar="ORGANIZATION", help="The partner's domain, and no other."),
    ],
    file: Annotated[Path, typer.Option("--output", "-o", help="Where to write the invite; must not exist.")],
    name: Annotated[str, typer.Option("--name", help="A note of your own on this invite.")] = "",
    ttl: Annotated[str, typer.Option("--ttl", metavar="TIME", help="How long it lasts: 30m, 24h, 7d.")] = "24h",
    address: Addresses = None,
    enrolment_address: Annotated[
        list[str] | None,
        typer.Option("--enrolment-address", metavar="HOST:PORT", help="Where the partner redeems it; may be repeated."),
    ] = None,
    expect_fingerprint: Annotated[
        str | None,
        typer.Option("--expect-fingerprint", help="Of the partner's peer file; then no approval is needed here."),
    ] = None,
    allow_private: Private = False,
    as_json: Json = False,
) -> None:
    """Invite a partner: write a file to send, and show six words to tell another way."""
    body = {
        "expect_domain": expect_domain,
        "name": name,
        "ttl_s": seconds(ttl),
        "addresses": address or [],
        "enrolment_addresses": enrolment_address or [],
        "expect_fingerprint": expect_fingerprint,
        "allow_private": "yes" if allow_private else "no",
    }
    if file.exists():
        raise AdminError("file-unwritable", f"cannot write {file}: it exists", "name another with --output")
    answer = client().post("/v1/invites", body)
    _write_new(file, answer["file"])
    if as_json:
        output.emit(answer)
        return
    output.say(f"wrote {file} for {answer['expect_domain']}, until {output.when(answer['expires_ms'])}")
    output.say(f"words: {answer['words']}")
    output.note("send the file one way, tell the words another way; they are shown this once")
    for reach in answer["reach"]:
        answers = "answers" if reach["answers"] else "does not answer from here"
        output.note(f"{reach['address']}: {reach['scope']}, {answers}")
    if answer["advice"]:
        output.note(answer["advice"])


@app.command()
def accept(
    file: Annotated[Path, typer.Argument(help="The invite that the partner sent.")],
    words_file: Annotated[
        Path | None,
        typer.Option("--words-file", help="Read the six words from there, - for standard input; else asked."),
    ] = None,
    expect_fingerprint: Annotated[
        str | None,
        typer.Option("--expect-fingerprint", help="Of the partner's peer file; then no approval is needed here."),
    ] = None,
    address: Addresses = None,
    allow_private: Private = False,
    as_json: Json = False,
) -> None:
    """Accept a partner's invite; the six words are typed, never given as an argument."""
    body = {
        "file": read_file(file),
        "words": _words(words_file),
        "expect_fingerprint": expect_fingerprint,
        "addresses": address or [],
        "allow_private": "yes" if allow_private else "no",
    }
    _show_pending(client().post("/v1/invites/accept", body), as_json)


@app.command()
def approve(
    org: Org,
    phrase: Annotated[
        str | None,
        typer.Option("--phrase", metavar="WORDS", help="What its operator reads to you; else asked."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Approve a pending peer by the six words that its operator sees."""
    if phrase is None:
        phrase = typer.prompt(f"The six words that the operator of {output.plain(org)} sees", err=True)
    peer = client().post(f"/v1/peers/{quote(org, safe='')}/approve", {"phrase": phrase})
    if as_json:
        output.emit(peer)
    else:
        output.say(f"approved {peer['org']}: it is active as soon as both sides have approved and met")


@app.command()
def reject(org: Org, as_json: Json = False) -> None:
    """Forget a pending peer; it may be invited again."""
    peer = client().post(f"/v1/peers/{quote(org, safe='')}/reject")
    if as_json:
        output.emit(peer)
    else:
        output.say(f"rejected {peer['org']}: it is forgotten here")


@app.command()
def invites(
    withdraw: Annotated[
        str | None, typer.Option("--withdraw", metavar="INVITE", help="End this one before it is used.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the invites, or withdraw one."""
    if withdraw is not None:
        found = [client().post(f"/v1/invites/{quote(withdraw, safe='')}/withdraw")]
    else:
        found = client().get("/v1/invites")["invites"]
    if as_json:
        output.emit(found)
        return
    rows = [{**each, "until": output.when(each["expires_ms"])} for each in found]
    output.table(rows, COLUMNS, empty="no invites; make one with: mesh peer invite")


def seconds(text: str) -> int:
    """`90`, `90s`, `30m`, `24h` or `7d` as seconds."""
    number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS else (text, "s")
    if not (number.isascii() and number.isdecimal() and len(number) < 10):
        raise typer.BadParameter(f"{text!r} is not a time such as 30m, 24h or 7d")
    return int(number) * UNITS[unit]


def _show_pending(peer: dict[str, Any], as_json: bool) -> None:
    if as_json:
        output.emit(peer)
        return
    output.say(f"{peer['org']} is {peer['state']}")
    output.say(f"phrase: {peer['phrase']}")
    if not peer["approved"]:
        output.note(
            "let the partner's operator read the same six words to you (both see them in: mesh peer show), "
            f"then: mesh peer approve {peer['org']}"
        )


def _words(words_file: Path | None) -> str:
    if words_file is None and sys.stdin.isatty():
        return str(typer.prompt("The six words", err=True))
    return (_read_line(Path("-") if words_file is None else words_file)).strip()


def _read_line(path: Path) -> str:
    try:
        with sys.stdin.buffer if str(path) == "-" else path.open("rb") as stream:
            return stream.read(MAX_WORDS_BYTES + 1).decode("utf-8")
    except OSError as error:
        raise AdminError("file-unreadable", f"cannot read {path}: {os.strerror(error.errno or 0).lower()}") from error
    except UnicodeDecodeError:
        raise AdminError("file-unreadable", f"cannot read {path}: it is not text") from None


def _write_new(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise AdminError("file-unwritable", f"cannot write {file}: {os.strerror(error.errno or 0).lower()}") from error
