"""`mesh gateway run`: the daemon in the foreground.

Prints one JSON line with the ports in use when it is ready. Exit codes: 0 a clean end, 1 it failed or refused to
start, 2 wrong usage; an error is three lines on stderr, never a traceback.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import context
from gateway.heap import keep_pages
from gateway.lean import lean_imports

app = typer.Typer(no_args_is_help=True, help="The gateway process.")


def register(root: typer.Typer) -> None:
    root.add_typer(app, name="gateway")


@app.callback()
def gateway() -> None:
    """The gateway process."""


@app.command()
def run(
    config: Annotated[Path | None, typer.Option("--config", help="The configuration file.")] = None,
    settings: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Override a key of the configuration.")
    ] = None,
) -> None:
    """Run the gateway until SIGTERM, SIGINT or POST /v1/shutdown."""
    # the daemon's parts cost most of a second to import: no other command shall pay for them
    from gateway.rpc.tls13 import require_tls13

    if not require_tls13():
        raise AssertionError("gRPC was imported before it was restricted to TLS 1.3")
    keep_pages()
    with lean_imports():
        import uvloop

        import gateway.app as daemon
        from gateway import failpoints, logs
        from gateway.config import load_config

    flags, path = dict(_pair(text) for text in settings or []), context.config_path(config)
    loaded = load_config(path, flags)
    logs.configure(loaded.log.level, loaded.log.format)
    failpoints.arm(os.environ)
    _leave_no_core()
    code = uvloop.run(daemon.run(loaded, lambda: load_config(path, flags)))
    raise typer.Exit(code or 0)


def _leave_no_core() -> None:
    """A crash writes no file of what was in memory: keys and partners' records are."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key or not equals:
        raise typer.BadParameter(f"{text!r} is not KEY=VALUE", param_hint="--set")
    return key, value
