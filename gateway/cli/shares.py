"""`mesh share`: what this organization offers."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli import completing, output
from gateway.cli.context import client

app = typer.Typer(no_args_is_help=True, help="Named sets of topics that we offer.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(metavar="SHARE", help="The share's name.", autocompletion=completing.shares)]
Topics = Annotated[
    list[str],
    typer.Option(
        "--topic",
        help="A topic of the local cluster, or a quoted pattern as 'orders.*'; may be repeated.",
        autocompletion=completing.topics,
    ),
]


def register(root: typer.Typer) -> None:
    root.add_typer(app, name="share")


@app.command()
def create(name: Name, topic: Topics, as_json: Json = False) -> None:
    """Offer topics under a name. Nobody sees the share before it is granted.

    A pattern also offers topics that are made later; it never matches names that begin with an underscore.
    """
    share = client().post("/v1/shares", {"name": name, "topics": topic})
    if as_json:
        output.emit(share)
    else:
        output.say(f"created share {share['name']} of {', '.join(share['topics'] + share['patterns'])}")


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the shares and who has them."""
    shares = client().get("/v1/shares")["shares"]
    if as_json:
        output.emit(shares)
        return
    columns = {"name": "share", "version": "version", "topics": "topics", "granted_to": "granted to"}
    rows = [{**share, "topics": share["topics"] + share["patterns"]} for share in shares]
    output.table(rows, columns, empty="no shares; make one with: mesh share create SHARE --topic TOPIC")


@app.command()
def show(name: Name, as_json: Json = False) -> None:
    """Show what a share holds now, by which name or pattern, and what of it peers do not see."""
    share = client().get(f"/v1/shares/{quote(name, safe='')}")
    if as_json:
        output.emit(share)
        return
    output.emit({key: share[key] for key in ("name", "version", "topics", "patterns", "granted_to")}, as_json=False)
    rows = [{**each, "by": "name" if each["by"] == each["topic"] else each["by"]} for each in share["contents"]]
    columns = {"topic": "topic", "partitions": "partitions", "by": "by", "left_out": "left out"}
    output.table(rows, columns, right=("partitions",), empty="no topic belongs to it now")


@app.command()
def add(name: Name, topic: Topics, as_json: Json = False) -> None:
    """Offer more topics under a share; whoever has it sees them at once."""
    _change(name, "add", topic, as_json)


@app.command()
def remove(name: Name, topic: Topics, as_json: Json = False) -> None:
    """Offer topics no longer, written as they were given; peers' streams of them end at once."""
    _change(name, "remove", topic, as_json)


def _change(name: str, verb: str, topics: list[str], as_json: bool) -> None:
    share: dict[str, Any] = client().post(f"/v1/shares/{quote(name, safe='')}/{verb}", {"topics": topics})
    if as_json:
        output.emit(share)
    else:
        left = ", ".join(share["topics"] + share["patterns"]) or "nothing"
        output.say(f"share {share['name']} is at version {share['version']}: {left}")
