"""`mesh await`: start an application when the gateway beside it is ready, and stop the gateway after it."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from gateway.cli import output
from gateway.cli.context import config_path
from gateway.sidecar import asking, running
from gateway.sidecar.errors import CommandNotStarted, GatewayNotReady, NotStopped
from gateway.sidecar.place import Place

NOT_YET = "it has not said where it listens"


def register(root: typer.Typer) -> None:
    # what stands after the command belongs to it
    root.command("await", context_settings={"allow_interspersed_args": False})(await_)


def await_(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="CMD ARGUMENTS…", help="What to start; without, only wait.")
    ] = None,
    shutdown: Annotated[
        bool, typer.Option("--shutdown", help="Stop the gateway when the command has ended, whatever came of it.")
    ] = False,
    timeout: Annotated[float, typer.Option("--timeout", min=0, metavar="SECONDS", help="Give up after this.")] = 300,
    address: Annotated[
        str,
        typer.Option(
            "--address",
            metavar="HOST:PORT",
            help="Where the gateway answers /readyz, or unix:PATH; without, its ports file says so.",
        ),
    ] = "",
) -> None:
    """Wait until the gateway is ready, then run a command: its signals are passed on, its exit code is returned.

    Without a configuration at hand, MESH_API_STATE names the gateway's state directory; its place is 127.0.0.1:7460
    where nothing else is said.
    """
    if shutdown and not command:
        raise typer.BadParameter("--shutdown needs a command after which the gateway is stopped")
    place = Place.of(address, config_path(), os.environ)
    with running.Signals() as signals:
        try:
            code = _run(place, command or [], signals, timeout, shutdown)
        finally:
            if shutdown:
                _stop(place)
    raise typer.Exit(code)


def _run(place: Place, command: list[str], signals: running.Signals, timeout_s: float, is_waited_for: bool) -> int:
    """The exit code. Raises GatewayNotReady; does not return where the command takes this process's place."""
    try:
        if why := running.wait_until(lambda: _why_not(place), timeout_s):
            raise GatewayNotReady(str(place), timeout_s, why)
        if not command:
            return 0
        if is_waited_for:
            return running.run(command, signals)
        running.become(command, signals)
    except running.Interrupted as interrupted:
        return interrupted.exit_code
    except CommandNotStarted as error:
        output.fail(str(error), error.remedy, error.code)
        return error.exit_code


def _why_not(place: Place) -> str:
    address = place.now()
    return asking.why_not_ready(address) if address else NOT_YET


def _stop(place: Place) -> None:
    """What goes wrong is told and changes no exit code: that is the command's."""
    address = place.now()
    if address and (why := asking.stop(address, place.tokens())):
        error = NotStopped(address, why)
        output.fail(str(error), error.remedy, error.code)
