"""An admin API with everything that peers, shares and subscriptions need, and the `mesh` command against it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from certs.bundle import bundle_of
from certs.store import write_certificates
from gateway.cli.main import app
from mesh.ids import OrgId
from mesh.trust.peerfile import PeerFile
from mesh.wire.v1 import catalog_pb2
from tests.support.admin import AdminGateway, admin_gateway, authority

TOPIC_ID = "0123456789abcdef0123456789abcdef"


def peer_file(org: str, *addresses: str) -> PeerFile:
    return PeerFile(bundle_of(OrgId(org), [authority(org).certificate], datetime.now(UTC)), addresses)


def catalog_of(share: str, topics: Mapping[str, int], **config: str) -> catalog_pb2.CatalogReply:
    """A catalog of one share; `topics` gives the partition counts."""
    offered = [
        catalog_pb2.CatalogTopic(
            name=name, partitions=count, topic_id=TOPIC_ID, config={k.replace("_", "."): v for k, v in config.items()}
        )
        for name, count in topics.items()
    ]
    return catalog_pb2.CatalogReply(shares=[catalog_pb2.CatalogShare(name=share, version=1, topics=offered)])


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


async def run(directory: Path, *arguments: str, stdin: str | None = None) -> Said:
    """`mesh --dir DIRECTORY ARGUMENTS`, in this process: a new one costs half a second."""
    place = ["--dir", str(directory)]
    environ: dict[str, str | None] = {name: None for name in os.environ if name.startswith("MESH_")}
    result = await asyncio.to_thread(CliRunner().invoke, app, [*place, *arguments], input=stdin, env=environ)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Said(result.exit_code, result.stdout, result.stderr)


class ControlGateway:
    """The gateway of acme.example; `mesh` runs a command against it."""

    def __init__(self, admin: AdminGateway) -> None:
        self.admin = admin
        self.directory = admin.directory

    async def mesh(self, *arguments: str, stdin: str | None = None) -> Said:
        return await run(self.directory, *arguments, stdin=stdin)

    async def done(self, *arguments: str, stdin: str | None = None) -> Said:
        said = await self.mesh(*arguments, stdin=stdin)
        assert said.code == 0, said.err
        return said

    async def refused(self, code: str, *arguments: str, stdin: str | None = None) -> str:
        """What it said; it must be a refusal with this code, a sentence and a remedy."""
        said = await self.mesh(*arguments, stdin=stdin)
        lines = said.err.splitlines()
        assert said.code == 1, said
        assert lines[-1] == f"code: {code}", said.err
        assert lines[0].startswith("error: ")
        assert lines[1].startswith("remedy: ")
        return " ".join(lines[:-1])

    async def add_peer(self, org: str) -> None:
        await self.done("peer", "add", "-", stdin=peer_file(org, f"{org}:7463").to_json())


@asynccontextmanager
async def control_gateway(directory: Path) -> AsyncIterator[ControlGateway]:
    async with admin_gateway(directory) as admin:
        keys_dir = admin.services.config.keys_dir
        keys_dir.mkdir()
        write_certificates(keys_dir / "ca.pem", [authority("acme.example").certificate])
        yield ControlGateway(admin)
