"""Two gateways as processes, paired over mutual TLS: acme.example exports from one broker, globex.example imports.

`set_up` makes them, pairs them and subscribes to the topic while it is still empty; a `Pair` then runs them again,
as after a restart, to catch up with what was written meanwhile.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from bench.process import LEASH, Child
from tests.support.ports import free_ports

SHARE = "bench"
EXPORTER, IMPORTER = "exporter", "importer"
ORGANIZATIONS = {EXPORTER: "acme.example", IMPORTER: "globex.example"}


@dataclass(frozen=True, slots=True)
class Home:
    """A gateway's directory; `listen` is where peers reach it."""

    role: str
    directory: Path
    listen: str

    def mesh(self, *arguments: str) -> str:
        """What a `mesh` command prints. Raises RuntimeError with what it complains of."""
        command = [sys.executable, "-m", "gateway.cli.main", "--dir", str(self.directory), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"mesh {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def start(self, profile: bool = False, settings: Sequence[str] = ()) -> Child:
        """`settings` are as `mesh gateway run --set` takes them."""
        program = ["-m", "bench.sampler", str(self.profile_file)] if profile else ["-m", "gateway.cli.main"]
        command = [*LEASH, sys.executable, *program, "--dir", str(self.directory), "gateway", "run"]
        command += [word for setting in settings for word in ("--set", setting)]
        return Child(self.role, command, self.directory / "log.txt")

    def configuration(self) -> dict[str, str]:
        """Every key in force but for secrets and paths."""
        explained = json.loads(self.mesh("config", "explain", "--json"))["settings"]
        kept = ("limits.", "timing.", "cluster.kind")
        return {f"{self.role}.{each['key']}": str(each["value"]) for each in explained if each["key"].startswith(kept)}

    @property
    def profile_file(self) -> Path:
        return self.directory / "profile.txt"


class Pair:
    """Both gateways running, from the moment of construction."""

    def __init__(self, homes: Sequence[Home], *, profile: bool = False, settings: Sequence[str] = ()) -> None:
        with ExitStack() as stack:
            self.children = [stack.enter_context(home.start(profile, settings)) for home in homes]
            self._stack = stack.pop_all()

    @property
    def processes(self) -> dict[str, int]:
        return {child.name: child.pid for child in self.children}

    def check(self) -> None:
        for child in self.children:
            child.check()

    def wait_ready(self) -> None:
        for child in self.children:
            child.wait_for(lambda child=child: '"ready": true' in child.output, "ready line")  # type: ignore[misc]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()


def set_up(directory: Path, brokers: dict[str, str], topic: str, destination: str) -> list[Home]:
    """Both organizations, paired; the importer has subscribed to `topic` as `destination`. `brokers` by role."""
    return made(directory, brokers, [topic], {topic: destination})


def made(
    directory: Path, brokers: dict[str, str], topics: Sequence[str], copies: Mapping[str, str] | None = None
) -> list[Home]:
    """Both organizations, paired; `topics` are shared, and subscribed to where `copies` names their copies."""
    homes = [_home(directory, role, brokers[role]) for role in ORGANIZATIONS]
    with Pair(homes) as pair:
        pair.wait_ready()
        introduce(directory, homes, topics)
        for topic, copy in (copies or {}).items():
            subscribe(homes, topic, copy, topic)
    return homes


def introduce(directory: Path, homes: Sequence[Home], topics: Sequence[str]) -> None:
    """Pair two gateways that run; the exporter grants the other a share of `topics`."""
    exporter, importer = homes
    for home, other in ((exporter, importer), (importer, exporter)):
        file = directory / f"{home.role}.peer"
        home.mesh("peer", "export", "--output", str(file), "--address", home.listen)
        other.mesh("peer", "add", str(file))
    exporter.mesh("share", "create", SHARE, *(word for topic in topics for word in ("--topic", topic)))
    exporter.mesh("grant", "create", SHARE, "--to", ORGANIZATIONS[IMPORTER])


def subscribe(homes: Sequence[Home], topic: str, destination: str, name: str) -> None:
    _, importer = homes
    source = f"{ORGANIZATIONS[EXPORTER]}/{SHARE}"
    importer.mesh("subscribe", source, "--name", name, "--topic", f"{topic}={destination}", "--from", "earliest")


def unsubscribe(homes: Sequence[Home], name: str) -> None:
    _, importer = homes
    importer.mesh("subscription", "delete", name)


def _home(directory: Path, role: str, broker: str) -> Home:
    home = directory / role
    peers, admin = (f"127.0.0.1:{port}" for port in free_ports(2))
    init = ["init", "--org", ORGANIZATIONS[role], "--kafka", broker, "--listen", peers, "--admin", admin]
    init += ["--local-http", "", "--local-grpc", ""]
    made = Home(role, home, peers)
    command = [sys.executable, "-m", "gateway.cli.main", *init, "--dir", str(home)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return made
