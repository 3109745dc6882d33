"""`mesh groups`: consumer groups on both sides of a mirror."""

from __future__ import annotations

import time
from typing import Annotated, Any
from urllib.parse import quote

import typer

from gateway.cli import output
from gateway.cli.client import AdminError
from gateway.cli.context import client

app = typer.Typer(no_args_is_help=True, help="Consumer groups: where they stand on both sides, and moving them.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Group = Annotated[str, typer.Argument(metavar="GROUP", help="The group's name.")]
Subscribed = Annotated[
    str, typer.Option("--subscription", metavar="NAME", help="The subscription that mirrors its topics.")
]
STATE_COLUMNS = {
    "subscription": "subscription", "group": "group", "state": "state", "partitions": "partitions",
    "waiting": "waiting", "source": "at the source", "as_of": "as of", "reason": "reason",
}  # fmt: skip
MOVE_COLUMNS = {
    "topic": "source topic", "partition": "partition", "source_position": "source position",
    "destination_topic": "destination topic", "destination_position": "destination position", "answer": "answer",
    "lag_records": "left to read", "present": "there now",
}  # fmt: skip
MOVE_NUMBERS = ("partition", "source_position", "destination_position", "lag_records", "present")
PAIR_COLUMNS = {
    "source_offset": "source", "destination_offset": "destination", "time": "timestamp", "key": "key",
    "source_digest": "source digest", "destination_digest": "destination digest",
}  # fmt: skip
ASK_S = 5
"""One question of several while waiting."""


def register(root: typer.Typer) -> None:
    root.add_typer(app, name="groups")


@app.command("list")
def list_(
    peer: Annotated[
        str | None, typer.Option("--peer", metavar="ORGANIZATION", help="The groups that this peer lets us see.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the groups of our cluster, or those of a peer that have positions on topics we subscribe to."""
    groups = client().get("/v1/groups", peer=peer)["groups"]
    if as_json:
        output.emit(groups)
        return
    columns = {"group": "group", "state": "state"}
    if peer is not None:
        columns |= {"subscription": "subscription", "topics": "topics", "partitions": "partitions"}
    output.table(groups, columns, right=("partitions",), empty="no groups")


@app.command()
def show(group: Group, as_json: Json = False) -> None:
    """Show where a group of our cluster stands."""
    found = client().get("/v1/groups/show", group=group)
    if as_json:
        output.emit(found)
        return
    output.say(f"{found['group']} is {found['state']}, {output.counted(found['members'], 'member')}")
    columns = {"topic": "topic", "partition": "partition", "position": "position", "end": "end", "lag_records": "lag"}
    output.table(found["positions"], columns, right=list(columns)[1:], empty="no positions")


@app.command()
def status(as_json: Json = False) -> None:
    """Say of each group that subscriptions keep in step how far it is."""
    groups = client().get("/v1/groups/status")["groups"]
    if as_json:
        output.emit(groups)
        return
    rows = [
        {**each, "as_of": output.when(each["as_of_ms"] or None), "source": _members(each["source_has_members"])}
        for each in groups
    ]
    empty = "no groups are kept in step; choose some with: mesh subscribe PEER/SHARE --group NAME …"
    output.table(rows, STATE_COLUMNS, right=("partitions", "waiting"), empty=empty)


@app.command()
def translate(
    group: Group,
    subscription: Subscribed,
    reverse: Annotated[
        bool, typer.Option("--reverse", help="Our group, and where that is at the provider; default: the other way.")
    ] = False,
    target: Annotated[
        str | None, typer.Option("--as", metavar="NAME", help="What the group is called where it goes.")
    ] = None,
    commit: Annotated[
        bool, typer.Option("--commit", help="Write the positions there, all or none; the group must be empty there.")
    ] = False,
    backward: Annotated[
        bool, typer.Option("--backward", help="With --commit: also to before where the group stands there.")
    ] = False,
    wait: Annotated[
        int, typer.Option("--wait", min=0, metavar="SECONDS", help="For records that are not mirrored yet.")
    ] = 0,
    as_json: Json = False,
) -> None:
    """Say where a group goes on after moving between a provider and this cluster; with --commit, move it.

    No record is read twice or skipped: a position that cannot be answered keeps all of them from being written.
    """
    if backward and not commit:
        raise typer.BadParameter("--backward goes with --commit")
    path = f"/v1/subscriptions/{quote(subscription, safe='')}/groups"
    if commit:
        body = {"group": group, "reverse": reverse, "as": target, "backward": backward}
        move = _patiently(lambda wait_s: client().post(path, {**body, "wait_s": wait_s}), wait)
    else:
        query = {"group": group, "reverse": reverse or None, "as": target}
        move = _answered(lambda wait_s: client().get(path, **query, wait_s=wait_s), wait)
    if as_json:
        output.emit(move)
    else:
        _say_move(move)


@app.command()
def rehearse(
    group: Group,
    subscription: Subscribed,
    limit: Annotated[
        int, typer.Option("--limit", min=0, max=100, help="Records of each partition that are shown.")
    ] = 5,
    as_json: Json = False,
) -> None:
    """Show what a group would read after moving here, beside what it would read at the source. Changes nothing."""
    path = f"/v1/subscriptions/{quote(subscription, safe='')}/groups/rehearsal"
    events = list(client().stream("GET", path, group=group, limit=limit))
    result = events[-1]
    if as_json:
        partitions = [each for each in events if each["event"] == "partition"]
        output.emit({**events[0], "partitions": partitions, "result": result})
    else:
        for each in events:
            if each["event"] == "partition":
                _say_rehearsed(each)
        _say_unanswered(events[0])
        output.say(rehearsed_sentence(result))
    if not result["equal"]:
        raise typer.Exit(1)


def rehearsed_sentence(result: dict[str, Any]) -> str:
    left = f"{result['destination_left']} records left to read of what is mirrored"
    if result["unanswered"]:
        return f"not ready: {result['unanswered']} positions have no answer"
    if not result["equal"]:
        return f"different: {result['source_left']} records left at the source, {left}"
    part = "" if result["whole"] else ", as far as they were compared"
    return f"equal: {left}, the same on both sides{part}"


def _patiently(ask: Any, wait_s: int) -> Any:
    """What `ask` answers; as long as positions are unanswered, again."""
    give_up = time.monotonic() + wait_s
    while True:
        left = give_up - time.monotonic()
        try:
            return ask(max(0, min(ASK_S, int(left))))
        except AdminError as error:
            if error.code != "positions-unanswered" or left <= ASK_S:
                raise


def _answered(ask: Any, wait_s: int) -> Any:
    give_up = time.monotonic() + wait_s
    while True:
        left = give_up - time.monotonic()
        move = ask(max(0, min(ASK_S, int(left))))
        if not move["unanswered"] or left <= ASK_S:
            return move


def _say_move(move: dict[str, Any]) -> None:
    rows = [{**each, "answer": _answer(each)} for each in move["positions"]]
    output.table(rows, MOVE_COLUMNS, right=MOVE_NUMBERS, empty="no partitions")
    if move["has_members"]:
        output.note(f"{move['group']} has members: what they read from now on is read again after the move")
    if "changed" not in move:
        _say_unanswered(move)
        return
    where = "at the provider" if move["direction"] == "reverse" else "here"
    output.say(f"{move['target']} stands there {where}: {move['changed']} positions changed")


def _say_unanswered(move: dict[str, Any]) -> None:
    if move["unanswered"]:
        output.note(f"{move['unanswered']} positions have no answer: with --commit nothing would be written")


def _say_rehearsed(found: dict[str, Any]) -> None:
    place = f"{found['topic']}[{found['partition']}] to {found['destination_topic']}[{found['partition']}]"
    counts = f"{found['source_left']} left at the source, {found['destination_left']} here"
    verdict = "equal" if found["equal"] else f"{found['different']} different"
    output.say(f"{place}: {counts}, {verdict}")
    rows = [{**pair, "time": output.when(pair["timestamp_ms"])} for pair in found["first"]]
    if rows:
        output.table(rows, PAIR_COLUMNS, right=("source_offset", "destination_offset"))


def _answer(position: dict[str, Any]) -> str:
    return f"{position['answer']} ({position['reason']})" if position["reason"] else str(position["answer"])


def _members(has_members: bool) -> str:
    return "active" if has_members else "empty"
