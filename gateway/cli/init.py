"""`mesh init`: a new organization on disk."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from gateway.cli import output


def register(root: typer.Typer) -> None:
    root.command("init")(init)


def init(
    organization: Annotated[str, typer.Option("--org", help="The organization's domain, such as acme.example.")],
    directory: Annotated[Path, typer.Option("--dir", help="Where to make it; must be absent or empty.")],
    gateway: Annotated[str, typer.Option("--gateway", help="The gateway's name in the organization.")] = "gw-1",
    kafka: Annotated[
        str, typer.Option("--kafka", metavar="HOST:PORT,…", help="Kafka brokers; without, the embedded log.")
    ] = "",
    listen: Annotated[str, typer.Option("--listen", metavar="HOST:PORT", help="Where peers connect.")] = "",
    admin: Annotated[str, typer.Option("--admin", metavar="HOST:PORT", help="The admin API, loopback only.")] = "",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Create an organization: a CA, a gateway identity, a configuration file."""
    # Here, because certificates and models cost every other command a fifth of a second.
    from gateway.init import NewOrganization, create
    from mesh.ids import GatewayName, OrgId

    brokers = [broker.strip() for broker in kafka.split(",") if broker.strip()]
    wanted = NewOrganization(OrgId(organization), GatewayName(gateway), brokers, listen, admin)
    config = create(directory, wanted, datetime.now(UTC))
    if as_json:
        output.emit(
            {"organization": config.organization, "gateway": str(config.gateway_id), "config": str(config.path)}
        )
    else:
        output.say(f"created {config.gateway_id} in {directory}")
        output.say(f"start it with: mesh gateway run --config {directory / 'mesh.toml'}")
