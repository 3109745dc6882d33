"""`mesh console`: the address of the console, good for one login."""

from __future__ import annotations

import webbrowser
from typing import Annotated

import typer

from gateway.cli import output
from gateway.cli.context import client


def register(root: typer.Typer) -> None:
    root.command("console")(console)


def console(
    open_it: Annotated[bool, typer.Option("--open", help="Open it in this machine's browser, too.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print an address that opens the console in a browser and logs in, once, within a minute."""
    found = client().post("/v1/console-address", {})
    if as_json:
        output.emit(found)
    else:
        output.say(found["address"])
        output.note(f"it logs in once, within {found['ends_s']} seconds; later the admin token does")
    if open_it:
        webbrowser.open(found["address"])
