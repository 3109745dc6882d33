"""`mesh offsets`: where a record is on the other side."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli import completing, output
from gateway.cli.context import client

app = typer.Typer(no_args_is_help=True, help="Translate offsets between source and destination.")


def register(root: typer.Typer) -> None:
    root.add_typer(app, name="offsets")


@app.callback()
def group() -> None:
    """Translate offsets between source and destination."""


@app.command()
def translate(
    name: Annotated[
        str,
        typer.Argument(
            metavar="SUBSCRIPTION", help="The subscription's name.", autocompletion=completing.subscriptions
        ),
    ],
    topic: Annotated[str, typer.Option("--topic", help="The source topic.")],
    partition: Annotated[int, typer.Option("--partition", min=0, help="The partition.")],
    offset: Annotated[int | None, typer.Option("--offset", min=0, help="A source offset.")] = None,
    reverse: Annotated[bool, typer.Option("--reverse", help="--offset is a destination offset.")] = False,
    timestamp: Annotated[
        int | None, typer.Option("--timestamp", min=0, metavar="MS", help="The first record at or after it instead.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say which offset holds the same record on the other side."""
    if (offset is None) == (timestamp is None):
        raise typer.BadParameter("give --offset or --timestamp, and not both")
    if reverse and timestamp is not None:
        raise typer.BadParameter("--reverse goes with --offset: --timestamp answers both offsets")
    answer = client().get(
        f"/v1/subscriptions/{quote(name, safe='')}/offsets",
        topic=topic, partition=partition, offset=offset, timestamp=timestamp, reverse=reverse or None,
    )  # fmt: skip
    if as_json:
        output.emit(answer)
    else:
        output.say(sentence(answer))


def sentence(answer: dict[str, Any]) -> str:
    source, destination = answer["source_offset"], answer["destination_offset"]
    match answer["answer"]:
        case "exact":
            return f"source {source} is destination {destination}"
        case "gap" if destination is None:
            return f"source {source} has no copy ({answer['reason']}); the next record is not mirrored yet"
        case "gap":
            return f"source {source} has no copy ({answer['reason']}); the next record is destination {destination}"
        case "lost":
            return f"destination {destination} holds a record that the source has lost; the next is source {source}"
        case _:
            return f"destination {destination} was not written by the mirror; its next record is source {source}"
