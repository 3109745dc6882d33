"""One organization as its operator sees it: a directory, a gateway process on fixed ports, and the `mesh` command.

    acme = Organization.init(tmp_path / "acme", "acme.example")
    acme.start()                        # returns when the gateway says that it is ready
    acme.mesh("topic", "create", "departures")
    acme.kill()                         # SIGKILL; start() brings it back on the same ports

A gateway dies with the process that started it, so a test that fails leaves none behind; `stop_all` ends the rest.
What it wrote to standard error stands in `log`.
"""

from __future__ import annotations

import json
import os
import resource
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tests.support.cli import CliResult, run
from tests.support.ports import free_ports

READY_S = 60.0
STOP_S = 30.0
PAUSE_S = 0.02
NO_LOCAL_API = ("--local-http", "", "--local-grpc", "")

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Refusal:
    """The three lines by which a command says no, as an operator reads them."""

    sentence: str
    remedy: str
    code: str

    @classmethod
    def of(cls, text: str) -> Refusal:
        """The refusal at the end of `text`, which must be nothing else than log lines before it."""
        lines = [line for line in text.splitlines() if not line.startswith("{")]
        assert "Traceback" not in text, text
        assert len(lines) == 3, text
        sentence, remedy, code = lines
        assert sentence.startswith("error: "), text
        assert remedy.startswith("remedy: "), text
        assert code.startswith("code: "), text
        return cls(sentence.removeprefix("error: "), remedy.removeprefix("remedy: "), code.removeprefix("code: "))


@dataclass
class Organization:
    """`home` holds mesh.toml. Not running until `start`."""

    home: Path
    org: str
    admin: str
    peers: str
    settings: tuple[str, ...] = ()
    """KEY=VALUE, of every start."""
    environment: dict[str, str] = field(default_factory=dict)
    """Added to the environment of every start from now on: failpoints, another clock."""
    advertised: tuple[str, ...] = ()
    """Where peers are told to dial, from the next start and export on: a proxy, say. Empty: the gateway itself."""
    dialled: tuple[str, ...] = ()
    """The brokers that it asks first, from the next start on: a proxy, say. Empty: those of `init`."""
    process: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @classmethod
    def init(cls, home: Path, org: str, *options: str) -> Organization:
        """`mesh init` with two ports that are free now, so that a restarted gateway is found where it was.

        Without a local API: `settings` such as `listen.local_grpc=127.0.0.1:0` open it, and ports.json says where.
        """
        admin, peers = (f"127.0.0.1:{port}" for port in free_ports(2))
        where = ["--dir", str(home), "--listen", peers, "--admin", admin, *NO_LOCAL_API]
        made = run(["init", "--org", org, *where, *options])
        assert made.code == 0, made.err
        return cls(home, org, admin, peers)

    def joined(self, home: Path, gateway: str) -> Organization:
        """Another gateway of the same organization: `mesh init --join`."""
        admin, peers = (f"127.0.0.1:{port}" for port in free_ports(2))
        where = ["--dir", str(home), "--gateway", gateway, "--listen", peers, "--admin", admin, *NO_LOCAL_API]
        made = run(["init", "--join", str(self.home), *where])
        assert made.code == 0, made.err
        return Organization(home, self.org, admin, peers, self.settings)

    # --- the gateway process

    def start(self, *settings: str, environment: Mapping[str, str] | None = None) -> None:
        """Start the gateway and wait until it is ready; `settings` are KEY=VALUE of this start, `environment` too."""
        self.launch(*settings, environment=environment)
        self.wait_ready()

    def launch(self, *settings: str, environment: Mapping[str, str] | None = None) -> None:
        assert self.process is None, f"the gateway of {self.org} runs already"
        given = {**os.environ, **self.environment, **(environment or {})}
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(self.command(*settings), stdout=subprocess.PIPE, stderr=log, env=given)

    def wait_struck(self, timeout_s: float = READY_S) -> int:
        """Until it has ended by itself, at a failpoint; its exit code. `start` brings it back."""
        process = self.process
        assert process is not None
        code = process.wait(timeout_s)
        assert process.stdout is not None
        process.stdout.close()
        self.process = None
        return code

    def limit_files(self, most_bytes: int) -> None:
        """No file may grow beyond, from now on: what a full disk is to the gateway. -1 takes the limit away."""
        assert self.process is not None
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (most_bytes, resource.RLIM_INFINITY))

    def revive(self) -> None:
        """As `start`: what a supervisor does after a crash."""
        self.start()

    def wait_ready(self, timeout_s: float = READY_S) -> None:
        assert self.process is not None
        assert self.process.stdout is not None
        readable, _, _ = select.select([self.process.stdout], [], [], timeout_s)
        line = self.process.stdout.readline() if readable else b""
        assert line, f"the gateway of {self.org} did not become ready:\n{self.log[-4000:]}"
        assert json.loads(line)["ready"] is True, line

    def refused(self, *settings: str) -> Refusal:
        """What a gateway that must not start says; it must end by itself, with exit code 1."""
        ended = subprocess.run(self.command(*settings), capture_output=True, text=True, timeout=READY_S, check=False)
        assert ended.returncode == 1, (ended.returncode, ended.stderr)
        assert not ended.stdout, ended.stdout
        return Refusal.of(ended.stderr)

    def command(self, *settings: str) -> list[str]:
        leash = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        addresses = [f"{key}={','.join(there)}" for key, there in self._addresses() if there]
        given = [word for setting in (*addresses, *self.settings, *settings) for word in ("--set", setting)]
        gateway = ["gateway", "run", "--config", str(self.home / "mesh.toml"), *given]
        return [*leash, sys.executable, "-m", "gateway.cli.main", *gateway]

    def _addresses(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        return (("listen.advertised", self.advertised), ("cluster.kafka.bootstrap", self.dialled))

    def freeze(self) -> None:
        """SIGSTOP: it does nothing any more, and knows nothing of it."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL, at this very moment."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; the exit code."""
        return self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> int:
        process, self.process = self.process, None
        if process is None:
            return 0
        process.send_signal(how)
        try:
            return process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        finally:
            assert process.stdout is not None
            process.stdout.close()
            process.wait()

    @property
    def log_path(self) -> Path:
        return self.home / "gateway.log"

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def files(self) -> Iterator[tuple[Path, bytes]]:
        """What lies in its directory, byte for byte; without what goes while this looks, as it runs."""
        for path in self.home.rglob("*"):
            with suppress(FileNotFoundError, IsADirectoryError):
                yield path, path.read_bytes()

    def account(self) -> str:
        """For people after a failure: the end of the log, and what the lanes say."""
        state = "not running" if self.process is None else f"exit code {self.process.poll()}"
        said = self.try_mesh("status", "--json")
        log = self.log[-4000:] if self.log_path.exists() else "no log"
        return f"{log}\nprocess: {state}\nstatus: {said.out or said.err}"

    # --- the mesh command

    def try_mesh(self, *arguments: str, stdin: bytes = b"") -> CliResult:
        return run(["--dir", str(self.home), *arguments], stdin)

    def mesh(self, *arguments: str, stdin: bytes = b"") -> CliResult:
        said = self.try_mesh(*arguments, stdin=stdin)
        assert said.code == 0, said.err or said.out
        return said

    def refuses(self, *arguments: str, stdin: bytes = b"") -> Refusal:
        said = self.try_mesh(*arguments, stdin=stdin)
        assert said.code == 1, said
        return Refusal.of(said.err)

    def lanes(self) -> list[dict[str, Any]]:
        lanes: list[dict[str, Any]] = self.mesh("status", "--json").json["lanes"]
        return lanes

    def append(self, topic: str, records: Iterator[dict[str, Any]], *options: str) -> None:
        lines = "".join(json.dumps(record) + "\n" for record in records)
        self.mesh("topic", "append", topic, *options, stdin=lines.encode())

    def pair(self, other: Organization) -> None:
        """Each becomes the other's peer, as their operators would do it."""
        for one, another in ((self, other), (other, self)):
            one.mesh("peer", "add", "-", stdin=another.mesh("peer", "export").out.encode())

    def share(self, share: str, to: Organization, *topics: str) -> None:
        self.mesh("share", "create", share, *(word for topic in topics for word in ("--topic", topic)))
        self.mesh("grant", "create", share, "--to", to.org)


@contextmanager
def stop_all(*organizations: Organization) -> Iterator[None]:
    """At the end no gateway runs; after a failure the ends of their logs are shown."""
    try:
        yield
    except BaseException:
        for each in organizations:
            print(f"--- {each.org}\n{each.account()}")
        raise
    finally:
        for each in organizations:
            each.kill()


def wait_for(what: str, ask: Callable[[], Found | None], timeout_s: float = 60.0, pause_s: float = PAUSE_S) -> Found:
    """What `ask` answers as soon as it is not None or False; fails with what was waited for."""
    deadline = time.monotonic() + timeout_s
    while not (found := ask()):
        assert time.monotonic() < deadline, f"waited {timeout_s:g} s in vain for: {what}"
        time.sleep(pause_s)
    return found
