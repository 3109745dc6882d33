"""`mesh topic`: topics of the local cluster, and their records as JSON lines, for people and scripts."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Iterator
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli import completing, output
from gateway.cli.client import BLOCK_BYTES
from gateway.cli.context import client

app = typer.Typer(no_args_is_help=True, help="Topics of the local cluster.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[str, typer.Argument(metavar="TOPIC", help="The topic's name.", autocompletion=completing.topics)]
Force = Annotated[bool, typer.Option("--force", help="Also where a subscription writes the topic.")]


def register(root: typer.Typer) -> None:
    root.add_typer(app, name="topic")


@app.command()
def create(
    name: Name,
    partitions: Annotated[int, typer.Option("--partitions", min=1, help="How many partitions.")] = 1,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="A topic setting, such as retention.ms=…")
    ] = None,
    as_json: Json = False,
) -> None:
    """Create a topic."""
    config = dict(_pair(text) for text in settings or [])
    made = client().post("/v1/topics", {"name": name, "partitions": partitions, "config": config})
    if as_json:
        output.emit(made)
    else:
        output.say(f"created {made['name']} with {_count(made['partitions'], 'partition')}")


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the topics with their partitions, record counts and settings."""
    topics = client().get("/v1/topics", ranges=True)["topics"]
    if as_json:
        output.emit(topics)
        return
    rows = [{**topic, "offsets": sum(r["end"] - r["start"] for r in topic["ranges"])} for topic in topics]
    for row in rows:
        row["config"] = ", ".join(f"{key}={value}" for key, value in row["config"].items()) or None
    columns = {
        "name": "topic", "partitions": "partitions", "offsets": "offsets kept", "mirrored_by": "mirrored by",
        "config": "settings",
    }  # fmt: skip
    output.table(
        rows, columns, right=("partitions", "offsets"), empty="no topics; make one with: mesh topic create NAME"
    )


@app.command()
def delete(name: Name, force: Force = False, as_json: Json = False) -> None:
    """Delete a topic and its records."""
    answer = client().delete(_path(name), force=force)
    if as_json:
        output.emit(answer)
    else:
        output.say(f"deleted {name}")


@app.command()
def append(
    name: Name,
    partition: Annotated[int | None, typer.Option("--partition", min=0, help="Send every record there.")] = None,
    key_partitioner: Annotated[
        bool, typer.Option("--key-partitioner", help="Choose by key even where records name a partition.")
    ] = False,
    codec: Annotated[str, typer.Option("--codec", help="none, gzip, snappy, lz4 or zstd.")] = "lz4",
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Append records, one JSON object a line on standard input: {"key": …, "value": …}."""
    if partition is not None and key_partitioner:
        raise typer.BadParameter("give --partition or --key-partitioner, not both")
    began = time.monotonic()
    answers = client().stream(
        "POST",
        _path(name, "/records"),
        stdin_blocks(),
        partition=partition,
        key_partitioner=key_partitioner,
        codec=codec,
        force=force,
    )
    for report in answers:
        if as_json:
            output.emit(report)
        else:
            show_append(name, report, time.monotonic() - began)


def show_append(name: str, report: dict[str, Any], seconds: float) -> None:
    count = report["appended"]
    output.say(f"appended {_count(count, 'record')} to {name} in {seconds:.1f} s")
    if report["partitions"]:
        columns = ["partition", "records", "last_offset"]
        output.table(report["partitions"], columns, right=columns)


@app.command()
def read(
    name: Name,
    partition: Annotated[int | None, typer.Option("--partition", min=0, help="Only this partition.")] = None,
    start: Annotated[
        str, typer.Option("--from", metavar="PLACE", help="earliest, latest, offset:N or timestamp:MS.")
    ] = "earliest",
    follow: Annotated[bool, typer.Option("--follow", help="Wait for more until interrupted.")] = False,
    maximum: Annotated[int | None, typer.Option("--max", min=0, metavar="N", help="At most N records.")] = None,
) -> None:
    """Print committed records as JSON lines: key, value, headers, timestamp, partition, offset."""
    lines = client().stream_blocks(
        "GET", _path(name, "/records"), partition=partition, **{"from": start}, follow=follow, max=maximum
    )
    write = _terminal_write if sys.stdout.isatty() else _write
    try:
        for block in lines:
            write(block)
    except KeyboardInterrupt:
        raise typer.Exit(130 if not follow else 0) from None


def stdin_blocks() -> Iterator[bytes]:
    """What standard input gives, as it comes; an empty block where it pauses, so that nothing waits in a buffer."""
    descriptor = sys.stdin.fileno()
    while block := os.read(descriptor, BLOCK_BYTES):
        yield block
        if not select.select([descriptor], [], [], 0)[0]:
            yield b""


def _path(name: str, rest: str = "") -> str:
    # quoted whole, so that a name with a slash reaches the gateway's own judgement of names
    return f"/v1/topics/{quote(name, safe='')}{rest}"


def _write(block: bytes) -> None:
    sys.stdout.buffer.write(block)
    sys.stdout.buffer.flush()


def _terminal_write(block: bytes) -> None:
    _write(tamed_lines(block))


def tamed_lines(block: bytes) -> bytes:
    """Lines of JSON as a terminal may have them."""
    return output.tame_json(block.decode()).encode()


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise typer.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--set")
    return key, value


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
