"""`mesh doctor`: what is wrong with the local gateway and its cluster, asked of it or, where none runs, from here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli import context, output
from gateway.cli.client import AdminError

MARKS = {"ok": "ok  ", "info": "info", "warn": "WARN", "fail": "FAIL"}
NOT_RUNNING = "gateway-not-running"

Topics = list[str] | None
Take = Callable[[dict[str, Any]], None]


def register(root: typer.Typer) -> None:
    root.command()(doctor)


def doctor(
    config: Annotated[
        Path | None, typer.Option("--config", help="Look from here with this file, without asking a gateway.")
    ] = None,
    source: Annotated[
        Topics, typer.Option("--source", metavar="TOPIC", help="A topic to be shared; may be repeated.")
    ] = None,
    destination: Annotated[
        Topics, typer.Option("--destination", metavar="TOPIC", help="A topic to mirror into; may be repeated.")
    ] = None,
    probe_append: Annotated[
        bool, typer.Option("--probe-append", help="Try compare-and-append on a scratch topic, and measure the clock.")
    ] = False,
    topic: Annotated[
        str, typer.Option("--topic", metavar="NAME", help="The scratch topic, which must not exist; it is deleted.")
    ] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Examine this gateway and its cluster: brokers, permissions, settings, topics, limits of this machine.

    The running gateway is asked, whose shares and subscriptions tell which topics matter. Where none runs, or with
    --config, the command looks by itself. Nothing is changed, except with --probe-append. Exit code 1 if a check fails.
    """
    body = {"probe_append": probe_append, "topic": topic, "sources": source or [], "destinations": destination or []}
    findings: list[dict[str, Any]] = []
    verdict: dict[str, Any] = {}

    def take(event: dict[str, Any]) -> None:
        if event.pop("event") == "verdict":
            verdict.update(event)
            return
        findings.append(event)
        if not as_json:
            _show(event)

    if config is not None:
        _look(config, body, take)
    else:
        _ask(body, take)
    if as_json:
        output.emit({**verdict, "findings": findings})
    else:
        output.say(verdict["sentence"])
    if not verdict["ok"]:
        raise typer.Exit(1)


def _ask(body: dict[str, Any], take: Take) -> None:
    """The running gateway; or look by ourselves where none runs."""
    try:
        for event in context.client().stream("POST", "/v1/doctor", [body]):
            take(event)
    except AdminError as error:
        if error.code != NOT_RUNNING:
            raise
        output.note("no gateway runs, so what it shares and mirrors is not known: name it with --source, --destination")
        _look(context.config_path(), body, take)


def _look(path: Path, body: dict[str, Any], take: Take) -> None:
    # Here, because the models cost every other command a tenth of a second.
    from gateway.config import load_config
    from gateway.doctor.examine import Question, examine
    from gateway.doctor.facts import Asked, Use

    topics = [Asked(name, Use.SOURCE) for name in body["sources"]]
    topics += [Asked(name, Use.DESTINATION) for name in body["destinations"]]
    question = Question(topics, body["probe_append"], body["topic"])

    async def look() -> None:
        async for event in examine(load_config(path), question, _now_ms, is_running=False):
            take(event)

    asyncio.run(look())


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _show(finding: dict[str, Any]) -> None:
    line = f"{MARKS[finding['level']]}  {finding['check']}: {finding['found']}"
    if finding["follows"]:
        line += f"; {finding['follows']}"
    output.say(line + (f" -> {finding['remedy']}" if finding["remedy"] else ""))
