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
    directory: Annotated[Path, typer.Option("--dir", help="Where to make it; must be absent or empty.")],
    organization: Annotated[str, typer.Option("--org", help="The organization's domain, such as acme.example.")] = "",
    gateway: Annotated[str, typer.Option("--gateway", help="The gateway's name in the organization.")] = "gw-1",
    join: Annotated[
        Path | None,
        typer.Option("--join", metavar="DIR", help="Another gateway of the organization made there; again: renew it."),
    ] = None,
    kafka: Annotated[
        str, typer.Option("--kafka", metavar="HOST:PORT,…", help="Kafka brokers; without, the embedded log.")
    ] = "",
    listen: Annotated[str, typer.Option("--listen", metavar="HOST:PORT", help="Where peers connect.")] = "",
    admin: Annotated[str, typer.Option("--admin", metavar="HOST:PORT", help="The admin API, loopback only.")] = "",
    local_http: Annotated[
        str, typer.Option("--local-http", metavar="ADDRESS", help="Where applications use HTTP; '' for nowhere.")
    ] = "127.0.0.1:7460",
    local_grpc: Annotated[
        str, typer.Option("--local-grpc", metavar="ADDRESS", help="Where applications use gRPC; '' for nowhere.")
    ] = "127.0.0.1:7461",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Create an organization: a CA, a gateway identity, a configuration file. Or another gateway of one."""
    # Here, because certificates and models cost every other command a fifth of a second.
    from gateway.init import NewOrganization, create
    from gateway.joining import Joining
    from gateway.joining import join as join_first
    from mesh.ids import GatewayName, OrgId

    is_new, now = True, datetime.now(UTC)
    if join is not None:
        if organization or kafka:
            raise typer.BadParameter("--org and --kafka are those of the gateway that is joined: leave them out")
        joining = Joining(join, GatewayName(gateway), listen, admin, local_http, local_grpc)
        config, is_new = join_first(directory, joining, now)
    elif not organization:
        raise typer.BadParameter("give --org for a new organization, or --join for another gateway of one")
    else:
        brokers = [broker.strip() for broker in kafka.split(",") if broker.strip()]
        made = OrgId(organization), GatewayName(gateway)
        config = create(directory, NewOrganization(*made, brokers, listen, admin, local_http, local_grpc), now)
    if as_json:
        output.emit(
            {
                "organization": config.organization,
                "gateway": str(config.gateway_id),
                "config": str(config.path),
                "created": is_new,
            }
        )
    elif is_new:
        output.say(f"created {config.gateway_id} in {directory}")
        output.say(f"start it with: mesh gateway run --config {directory / 'mesh.toml'}")
    else:
        output.say(f"renewed the certificate of {config.gateway_id} in {directory}")
        output.say("a gateway that runs takes it up by itself within some seconds")
