"""`mesh subscribe`, `mesh subscription`, `mesh gaps`: our use of what peers grant us."""

from __future__ import annotations

from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli import completing, output, plan
from gateway.cli.context import client
from mesh.shares import OnForeignWrite, OnLoss, OnTimestamp

app = typer.Typer(no_args_is_help=True, help="Our use of what peers grant us.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Name = Annotated[
    str,
    typer.Argument(metavar="SUBSCRIPTION", help="The subscription's name.", autocompletion=completing.subscriptions),
]
ON_FOREIGN_WRITE = "Where somebody else writes to the destination: stop or report."
ON_LOSS = "Where the source lost records or was created anew: stop or continue."
ON_TIMESTAMP = "Where the destination refuses a record's timestamp: stop, override or quarantine."
COLUMNS = {
    "name": "subscription", "source": "source", "topics": "topics", "state": "state", "lanes": "lanes",
    "lag_records": "lag records",
}  # fmt: skip
LANE_COLUMNS = {
    "topic": "source topic", "partition": "partition", "destination_topic": "destination topic", "state": "state",
    "records": "records", "lag_records": "lag records", "gaps": "gaps", "reason": "reason",
}  # fmt: skip


def register(root: typer.Typer) -> None:
    root.add_typer(app, name="subscription")
    root.command("subscribe")(subscribe)
    root.command("gaps")(gaps)


def subscribe(
    share: Annotated[str, typer.Argument(metavar="PEER/SHARE", help="Such as acme.example/flights.")],
    topic: Annotated[
        list[str] | None,
        typer.Option(
            "--topic",
            metavar="SRC=DST",
            help="A source topic and its local name, or quoted patterns of both as 'orders.*=acme.*'; may be repeated. "
            "Without, all topics under their own names.",
        ),
    ] = None,
    start: Annotated[
        str, typer.Option("--from", metavar="WHERE", help="earliest, latest, offset:N or timestamp:TIME (ISO or ms).")
    ] = "earliest",
    name: Annotated[str | None, typer.Option("--name", help="The subscription's name; default: the share's.")] = None,
    on_foreign_write: Annotated[
        OnForeignWrite, typer.Option(metavar="POLICY", help=ON_FOREIGN_WRITE)
    ] = OnForeignWrite.STOP,
    on_loss: Annotated[OnLoss, typer.Option(metavar="POLICY", help=ON_LOSS)] = OnLoss.STOP,
    on_timestamp: Annotated[OnTimestamp, typer.Option(metavar="POLICY", help=ON_TIMESTAMP)] = OnTimestamp.STOP,
    follow_config: Annotated[
        bool, typer.Option("--follow-config", help="The destination topics follow changes of their sources' settings.")
    ] = False,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", help="A consumer group whose positions are copied, translated; may be repeated."),
    ] = None,
    only_plan: Annotated[
        bool, typer.Option("--plan", help="Make nothing: say what would be copied, made and refused.")
    ] = False,
    rate: Annotated[
        float | None, typer.Option("--rate", min=0.001, help="MB/s to estimate the time of a plan with.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Mirror topics of a peer's share into the local cluster; destination topics are made like the source's.

    Topics that the provider adds to the share later are followed where a pattern matches them.
    """
    peer, slash, share_name = share.partition("/")
    if not slash or not peer or not share_name:
        raise typer.BadParameter(f"{share!r} is not PEER/SHARE, such as acme.example/flights")
    body = {
        "peer": peer,
        "share": share_name,
        "topics": [_mapping(text) for text in topic] if topic else None,
        "start": start,
        "name": name,
        "on_foreign_write": on_foreign_write,
        "on_loss": on_loss,
        "on_timestamp": on_timestamp,
        "follow_config": follow_config,
        "groups": group or [],
    }
    if only_plan:
        _plan(body, rate, as_json)
        return
    made = client().post("/v1/subscriptions", body)
    if as_json:
        output.emit(made)
        return
    for created in made["created_topics"]:
        output.say(f"created topic {created}")
    output.say(f"subscribed to {made['peer']}/{made['share']} as {made['name']}")


def _plan(body: dict[str, Any], rate: float | None, as_json: bool) -> None:
    """Exit code 1 where something would be refused."""
    made = client().post("/v1/subscriptions/plan", {**body, "rate_bytes_per_s": int(rate * 1e6) if rate else None})
    if as_json:
        output.emit(made)
    else:
        plan.show(made)
    if made["refused"]:
        raise typer.Exit(1)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List the subscriptions."""
    found = client().get("/v1/subscriptions")["subscriptions"]
    if as_json:
        output.emit(found)
        return
    empty = "no subscriptions; make one with: mesh subscribe PEER/SHARE"
    output.table([_row(each) for each in found], COLUMNS, right=("lag_records",), empty=empty)


@app.command()
def show(name: Name, as_json: Json = False) -> None:
    """Show one subscription and its lanes."""
    found = client().get(f"/v1/subscriptions/{quote(name, safe='')}")
    if as_json:
        output.emit(found)
        return
    row = _row(found)
    policies = ("on_foreign_write", "on_loss", "on_timestamp", "follow_config", "groups")
    keys = ("name", "source", "topics", "start", "state", *policies, "lanes", "lag_records")
    output.emit({key: row[key] for key in keys}, as_json=False)
    right = ("partition", "records", "lag_records", "gaps")
    ended = "the mirror has ended; offsets of what was mirrored translate as before"
    empty = ended if found["state"] in ("promoting", "promoted") else "no lanes yet"
    rows = [lane | {key: f"{lane[key]:,}" for key in right[1:] if lane[key] is not None} for lane in found["lanes"]]
    output.table(rows, LANE_COLUMNS, right=right, empty=empty)
    for lane in found["lanes"]:
        if lane["remedy"]:
            output.say(f"{lane['topic']}[{lane['partition']}]: {lane['remedy']}")
    for each in found["differences"] or ():
        output.say(plan.difference(each["topic"], each))
    for warning in found["warnings"]:
        output.say(f"{warning['why']}; {warning['remedy']}")


@app.command("set")
def set_(
    name: Name,
    on_foreign_write: Annotated[OnForeignWrite | None, typer.Option(metavar="POLICY", help=ON_FOREIGN_WRITE)] = None,
    on_loss: Annotated[OnLoss | None, typer.Option(metavar="POLICY", help=ON_LOSS)] = None,
    on_timestamp: Annotated[OnTimestamp | None, typer.Option(metavar="POLICY", help=ON_TIMESTAMP)] = None,
    follow_config: Annotated[
        bool | None,
        typer.Option(
            "--follow-config/--no-follow-config", help="The destination topics follow their sources' settings, or not."
        ),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option("--group", help="The consumer groups whose positions are copied, in the place of those before."),
    ] = None,
    no_groups: Annotated[bool, typer.Option("--no-groups", help="Copy no group's positions any more.")] = False,
    as_json: Json = False,
) -> None:
    """Change the policies of a subscription; what is not named stays, and no progress is lost."""
    policies = {
        "on_foreign_write": on_foreign_write,
        "on_loss": on_loss,
        "on_timestamp": on_timestamp,
        "follow_config": follow_config,
        "groups": [] if no_groups else group or None,
    }
    stated = {key: value for key, value in policies.items() if value is not None}
    if not stated:
        raise typer.BadParameter("name at least one policy to change")
    found = client().post(f"/v1/subscriptions/{quote(name, safe='')}/policies", stated)
    if as_json:
        output.emit(found)
    else:
        said = (f"{key.replace('_', ' ')} {output.plain(found[key])}" for key in stated)
        output.say(f"{found['name']}: {', '.join(said)}")


@app.command()
def pause(name: Name, as_json: Json = False) -> None:
    """Stop mirroring until it is resumed."""
    _change(name, "pause", as_json)


@app.command()
def resume(name: Name, as_json: Json = False) -> None:
    """Go on mirroring, stopped lanes too."""
    _change(name, "resume", as_json)


@app.command()
def promote(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """End the mirror for ever and shut out whoever still writes it: its topics become this organization's own.

    Offsets of what was mirrored still translate. It cannot be undone.
    """
    if not yes:
        typer.confirm(f"End the mirror {name} for ever?", abort=True, err=True)
    found = client().post(f"/v1/subscriptions/{quote(name, safe='')}/promote")
    if as_json:
        output.emit(found)
        return
    columns = {
        "topic": "source topic", "partition": "partition", "source_position": "source position",
        "destination_topic": "topic", "destination_end": "end", "unmapped": "untranslated",
    }  # fmt: skip
    right = ("partition", "source_position", "destination_end", "unmapped")
    output.table(found["lanes"], columns, right=right, empty="nothing was mirrored")
    output.say(f"{found['name']} is {found['state']}")


@app.command()
def delete(name: Name, as_json: Json = False) -> None:
    """Delete a subscription and its progress; the destination topics stay."""
    answer = client().delete(f"/v1/subscriptions/{quote(name, safe='')}")
    if as_json:
        output.emit(answer)
    else:
        output.say(f"deleted {answer['deleted']}; kept {', '.join(answer['kept_topics'])}")


def gaps(name: Name, as_json: Json = False) -> None:
    """List the source offsets without a copy, and what the source has lost, and why."""
    answer = client().get(f"/v1/subscriptions/{quote(name, safe='')}/gaps")
    if as_json:
        output.emit(answer)
        return
    columns = {
        "topic": "source topic", "partition": "partition", "source_offset": "from", "next_source_offset": "to (excl.)",
        "offsets": "offsets", "reason": "reason",
    }  # fmt: skip
    right = ("partition", "source_offset", "next_source_offset", "offsets")
    rows = answer["gaps"]
    if any("kind" in row for row in rows):
        columns |= {"kind": "kind", "copies": "copies", "noticed": "noticed"}
        rows = [row | _loss(row) for row in rows]
    output.table(rows, columns, right=right, empty="no gaps")
    if answer["truncated"]:
        output.note(f"only the first {len(answer['gaps'])} are shown")


def _loss(row: dict[str, Any]) -> dict[str, Any]:
    """What is said of a loss beside its range: where its copies are, and since when it is known."""
    if row.get("pending"):
        return {"copies": None, "noticed": "pending: the lane has stopped"}
    first, end = row.get("destination_offset"), row.get("next_destination_offset")
    copies = None if first is None or first == end else f"{first} to {end}"
    return {"copies": copies, "noticed": output.when(row["noticed_ms"]) if "noticed_ms" in row else None}


def _change(name: str, verb: str, as_json: bool) -> None:
    found = client().post(f"/v1/subscriptions/{quote(name, safe='')}/{verb}")
    if as_json:
        output.emit(found)
    else:
        output.say(f"{found['name']} is {found['state']}")


def _mapping(text: str) -> dict[str, str]:
    source, equals, destination = text.partition("=")
    if not source or not equals or not destination:
        raise typer.BadParameter(f"--topic {text!r} is not SRC=DST, such as departures=acme.departures")
    return {"source": source, "destination": destination}


def _row(found: dict[str, Any]) -> dict[str, Any]:
    pairs = [f"{pair['source']} to {pair['destination']}" for pair in found["topics"] + found["patterns"]]
    lanes = ", ".join(f"{count} {state}" for state, count in found["lane_states"].items())
    return {**found, "source": f"{found['peer']}/{found['share']}", "topics": pairs, "lanes": lanes or None}
