"""`mesh grant`: who may read which share, and why."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli import completing, output
from gateway.cli.context import client
from mesh.shares import GroupAccess

app = typer.Typer(no_args_is_help=True, help="Shares given to peers, with terms.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Share = Annotated[str, typer.Argument(metavar="SHARE", help="The share's name.", autocompletion=completing.shares)]
GROUPS = "Positions of our consumer groups on its topics: none, read, or write (of empty groups)."
COLUMNS = {"share": "share", "peer": "peer", "state": "state", "start": "from", "end": "until", "now": "now"}


def register(root: typer.Typer) -> None:
    root.add_typer(app, name="grant")


@app.command()
def create(
    share: Share,
    peer: Annotated[
        str,
        typer.Option("--to", metavar="ORGANIZATION", help="The peer that gets it.", autocompletion=completing.peers),
    ],
    start: Annotated[str | None, typer.Option("--from", metavar="TIME", help="Begins then; ISO time or ms.")] = None,
    end: Annotated[str | None, typer.Option("--until", metavar="TIME", help="Ends then; ISO time or ms.")] = None,
    groups: Annotated[GroupAccess, typer.Option(metavar="ACCESS", help=GROUPS)] = GroupAccess.NONE,
    onward: Annotated[bool, typer.Option("--onward", help="The peer may share its copies with others.")] = False,
    as_json: Json = False,
) -> None:
    """Give a share to a peer."""
    terms = {"start_ms": milliseconds(start), "end_ms": milliseconds(end), "groups": groups, "onward": onward}
    grant = client().post("/v1/grants", {"share": share, "peer": peer, **terms})
    if as_json:
        output.emit(grant)
    else:
        until = f" until {output.when(grant['end_ms'])}" if grant["end_ms"] is not None else ""
        output.say(f"granted {grant['share']} to {grant['peer']}{until}")


@app.command("set")
def set_(
    share: Share,
    peer: Annotated[
        str, typer.Option("--to", metavar="ORGANIZATION", help="The peer that has it.", autocompletion=completing.peers)
    ],
    end: Annotated[
        str | None, typer.Option("--until", metavar="TIME", help="Ends then; ISO time, ms, or never.")
    ] = None,
    groups: Annotated[GroupAccess | None, typer.Option(metavar="ACCESS", help=GROUPS)] = None,
    onward: Annotated[
        bool | None, typer.Option("--onward/--no-onward", help="Whether the peer may share its copies with others.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Change the terms of a grant in use; what is not named stays. What is taken away ends at once."""
    terms: dict[str, object] = {"groups": groups, "onward": onward}
    stated = {key: value for key, value in terms.items() if value is not None}
    if end is not None:
        stated["end_ms"] = None if end == "never" else milliseconds(end)
    if not stated:
        raise typer.BadParameter("name at least one term: --until, --groups, --onward or --no-onward")
    grant = client().post(f"/v1/grants/{quote(share, safe='')}/{quote(peer, safe='')}/terms", stated)
    if as_json:
        output.emit(grant)
    else:
        until = f"until {output.when(grant['end_ms'])}" if grant["end_ms"] is not None else "without end"
        told = f"groups {grant['groups']}, {'onward' if grant['onward'] else 'not onward'}, {until}"
        output.say(f"{grant['share']} to {grant['peer']}: {told}")


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the grants, ended and revoked ones included."""
    grants = client().get("/v1/grants")["grants"]
    if as_json:
        output.emit(grants)
        return
    empty = "no grants; make one with: mesh grant create SHARE --to ORGANIZATION"
    output.table([_row(grant) for grant in grants], COLUMNS, empty=empty)


@app.command()
def revoke(
    share: Share,
    peer: Annotated[
        str,
        typer.Option("--from", metavar="ORGANIZATION", help="The peer that loses it.", autocompletion=completing.peers),
    ],
    as_json: Json = False,
) -> None:
    """Take a share back from a peer; its streams end at once."""
    grant = client().post(f"/v1/grants/{quote(share, safe='')}/{quote(peer, safe='')}/revoke")
    if as_json:
        output.emit(grant)
    else:
        output.say(f"revoked {grant['share']} from {grant['peer']}")


@app.command()
def explain(
    share: Share,
    peer: Annotated[
        str, typer.Option("--to", metavar="ORGANIZATION", help="The peer that asks.", autocompletion=completing.peers)
    ],
    topic: Annotated[
        str | None, typer.Option("--topic", help="It reads this topic; without, it sees the share.")
    ] = None,
    groups: Annotated[
        str | None, typer.Option("--groups", help="It would read, or write, positions of consumer groups instead.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Say step by step whether a peer may see a share or read a topic of it."""
    answer = client().get(
        f"/v1/grants/{quote(share, safe='')}/{quote(peer, safe='')}/explain", topic=topic, groups=groups
    )
    if as_json:
        output.emit(answer)
        return
    output.say(f"{answer['request']}: {'allowed' if answer['allowed'] else 'denied'} ({answer['reason']})")
    for number, step in enumerate(answer["steps"], 1):
        output.say(f"{number}. {step}")


def milliseconds(text: str | None) -> int | None:
    """Milliseconds since 1970 of a number or an ISO time with its zone."""
    if text is None:
        return None
    if text.isascii() and text.isdecimal():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is neither milliseconds since 1970 nor an ISO time") from None
    if moment.tzinfo is None:
        raise typer.BadParameter(f"{text!r} has no time zone: add Z for UTC")
    return int(moment.timestamp() * 1000)


def _row(grant: dict[str, Any]) -> dict[str, object]:
    return {
        **grant,
        "start": output.when(grant["start_ms"]) if grant["start_ms"] else None,
        "end": output.when(grant["end_ms"]),
        "now": "allowed" if grant["allowed"] else grant["reason"],
    }
