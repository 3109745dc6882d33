"""`mesh catalog`: what a peer grants us."""

from __future__ import annotations

from typing import Annotated

import typer

from gateway.cli import output
from gateway.cli.context import client


def register(root: typer.Typer) -> None:
    root.command("catalog")(catalog)


def catalog(
    peer: Annotated[str, typer.Option("--peer", metavar="ORGANIZATION", help="The peer to ask.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List the shares and topics that a peer grants us."""
    shares = client().get("/v1/catalog", peer=peer)["shares"]
    if as_json:
        output.emit(shares)
        return
    rows = [
        {
            "share": share["name"],
            "version": share["version"],
            "topic": topic["name"],
            "partitions": topic["partitions"],
            "until": output.when(share["grant_end_ms"]),
        }
        for share in shares
        for topic in share["topics"]
    ]
    columns = ["share", "version", "topic", "partitions", "until"]
    output.table(rows, columns, right=("version", "partitions"), empty=f"{peer} grants nothing to this organization")
