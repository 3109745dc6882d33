"""`mesh config`: check a configuration, and say where each value comes from. Works without a gateway."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli import output
from gateway.cli.context import client, config_path

app = typer.Typer(no_args_is_help=True, help="The configuration.")

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
File = Annotated[Path | None, typer.Option("--config", help="The configuration file.")]


def register(root: typer.Typer) -> None:
    root.add_typer(app, name="config")


@app.command()
def check(config: File = None, as_json: Json = False) -> None:
    """Say whether a gateway would start with this configuration."""
    found = _loaded(config)
    if as_json:
        output.emit({"valid": True, "path": found["path"]})
    else:
        output.say(f"{found['path']} is valid")


@app.command()
def explain(
    config: File = None,
    running: Annotated[bool, typer.Option("--running", help="What the running gateway uses, not the files.")] = False,
    as_json: Json = False,
) -> None:
    """Print each value in force and where it comes from."""
    found = client().get("/v1/config") if running else _loaded(config)
    if as_json:
        output.emit(found)
        return
    rows = [{**setting, "value": _shown(setting["value"])} for setting in found["settings"]]
    output.table(rows, ["key", "value", "origin"])
    if found.get("fault"):
        output.say(f"the file is refused by now, this is from before: {found['fault']}")
    if found.get("restart"):
        output.say(f"other values in the file wait for a restart: {', '.join(found['restart'])}")


@app.command()
def reload(as_json: Json = False) -> None:
    """Let the running gateway read its configuration again, and say what waits for a restart.

    It does so by itself, too, soon after the file has changed.
    """
    found = client().post("/v1/config/reload")
    if as_json:
        output.emit(found)
        return
    output.say(f"in force now: {', '.join(found['applied'])}" if found["applied"] else "nothing to take")
    if found["restart"]:
        output.say(f"wait for a restart: {', '.join(found['restart'])}")


def _loaded(config: Path | None) -> dict[str, Any]:
    # Here, because the models cost every other command a tenth of a second.
    from gateway.config import explained, load_config

    return explained(load_config(config_path(config)))


def _shown(value: object) -> object:
    return value if value not in ("", []) else None
