"""`mesh share`: what this organization offers."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli import output
from gateway.cli.context import client

app = typer.Typer(no_args_is_help=True, help="Named sets of topics that we offer.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def register(root: typer.Typer) -> None:
    root.add_typer(app, name="share")


@app.command()
def create(
    name: Annotated[str, typer.Argument(metavar="SHARE", help="The share's name.")],
    topic: Annotated[list[str], typer.Option("--topic", help="A topic of the local cluster; may be repeated.")],
    as_json: Json = False,
) -> None:
    """Offer topics under a name. Nobody sees the share before it is granted."""
    share = client().post("/v1/shares", {"name": name, "topics": topic})
    if as_json:
        output.emit(share)
    else:
        output.say(f"created share {share['name']} of {', '.join(share['topics'])}")


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the shares and who has them."""
    shares = client().get("/v1/shares")["shares"]
    if as_json:
        output.emit(shares)
        return
    columns = {"name": "share", "version": "version", "topics": "topics", "granted_to": "granted to"}
    rows = [{**share, "granted_to": share["granted_to"] or None} for share in shares]
    output.table(rows, columns, empty="no shares; make one with: mesh share create SHARE --topic TOPIC")
