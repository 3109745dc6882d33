"""Names that a shell completes: asked of the gateway, in a moment or not at all.

A. Whatever goes wrong, nothing is offered and nothing is printed: a terminal waits for its next key.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from gateway.cli import context
from gateway.cli.client import AdminClient, AdminError
from mesh.errors import MeshError

TIMEOUT_S = 1.0


def peers(ctx: typer.Context, incomplete: str) -> list[str]:
    return _names(ctx, incomplete, "peers", "org")


def shares(ctx: typer.Context, incomplete: str) -> list[str]:
    return _names(ctx, incomplete, "shares", "name")


def subscriptions(ctx: typer.Context, incomplete: str) -> list[str]:
    return _names(ctx, incomplete, "subscriptions", "name")


def topics(ctx: typer.Context, incomplete: str) -> list[str]:
    return _names(ctx, incomplete, "topics", "name")


def _names(ctx: typer.Context, incomplete: str, of: str, key: str) -> list[str]:
    try:
        found: Any = replace(_client(ctx), timeout_s=TIMEOUT_S).get(f"/v1/{of}")
        names = sorted(str(each[key]) for each in found[of])
    except (AdminError, MeshError, OSError, LookupError, TypeError):
        return []
    return [name for name in names if name.startswith(incomplete) and name.isprintable()]


def _client(ctx: typer.Context) -> AdminClient:
    """As `context.client`: while a line is completed the root command has not run, its options are only parsed."""
    given = ctx.find_root().params
    config, directory = given.get("config_file"), given.get("directory")
    place = context.choose(Path(config) if config else None, Path(directory) if directory else None)
    return AdminClient.of_config(place)
