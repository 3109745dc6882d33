"""Runs the demo's commands, each shown as one would type it, and owns the processes that it starts.

Commands run in the working directory, so that what is shown is what one types there. Gateways have their own session:
Ctrl-C reaches this process only, which ends them in order. Whatever happens, `close` leaves no process behind.
"""

from __future__ import annotations

import os
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from rich.console import Console

from gateway.cli.client import AdminClient
from gateway.demo.errors import StepFailed, TookTooLong
from gateway.demo.interrupts import Interrupts

READY_S = 30.0
STOP_S = 20.0
COMMAND_S = 300.0

READABLE = 110
"""Columns of a line of prose."""

MESH = (sys.executable, "-P", "-m", "gateway.cli.main")
"""`mesh` of this very installation, whatever PATH says; -P so that the working directory is not imported from."""
FLIGHTS = (sys.executable, "-P", "-m", "gateway.demo.flights")


class GatewayProcess:
    """One `mesh gateway run`."""

    def __init__(self, config: Path, process: subprocess.Popen[bytes], log: Path) -> None:
        self.config, self.process, self.log = config, process, log

    def client(self) -> AdminClient:
        return AdminClient.of_config(self.config)

    def kill(self) -> None:
        """SIGKILL: no goodbye, nothing flushed."""
        self.process.kill()
        self.process.wait()
        self._close()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._close()

    def _close(self) -> None:
        assert self.process.stdout is not None
        self.process.stdout.close()


class Shell:
    def __init__(self, directory: Path, console: Console, interrupts: Interrupts) -> None:
        self.directory, self.console = directory, console
        self._interrupts = interrupts
        self._gateways: dict[str, GatewayProcess] = {}
        self._commands: list[subprocess.Popen[Any]] = []
        # Settings of whoever runs the demo must not reach its gateways.
        self._env = {key: value for key, value in os.environ.items() if not key.startswith("MESH_")}

    def say(self, text: str) -> None:
        self.console.print(text, markup=False, soft_wrap=True)

    def tell(self, text: str) -> None:
        """A sentence for people, broken between words; what one might copy is said with `say`."""
        self.console.print(text, markup=False, width=min(self.console.width, READABLE))

    def show(self, command: str) -> None:
        self.console.print(f"  $ {command}", style="dim", markup=False, soft_wrap=True)

    def mesh(self, *arguments: str, quiet: bool = False, check: bool = True) -> str:
        """Run `mesh …` and answer its standard output. Raises StepFailed with what it said."""
        shown = shlex.join(("mesh", *arguments))
        if not quiet:
            self.show(shown)
        # Progress, where a command shows any, is on its standard error and belongs on this terminal.
        terminal = sys.stderr.isatty() and not check
        errors_to = None if terminal else subprocess.PIPE
        with self._command([*MESH, *arguments], stdin=subprocess.DEVNULL, stderr=errors_to, text=True) as process:
            output, errors = process.communicate(timeout=COMMAND_S)
        assert isinstance(output, str)
        if process.returncode != 0 and (check or not output):
            raise StepFailed(shown, (errors or output or "").strip())
        return output

    def publish(self, organization: str, topic: str, start: int, end: int) -> None:
        """The flights [start, end) into a topic, as a pipe of two commands. Raises StepFailed."""
        flights = ("--from", str(start), "--to", str(end))
        append = ("--dir", organization, "topic", "append", topic)
        shown = f"python -m gateway.demo.flights {shlex.join(flights)} | {shlex.join(('mesh', *append))}"
        self.show(shown)
        with (
            self._command([*FLIGHTS, *flights]) as producer,
            self._command([*MESH, *append], stdin=producer.stdout, stderr=subprocess.PIPE, text=True) as appender,
        ):
            assert producer.stdout is not None
            # Only the appender shall hold the pipe's end: if it dies, the producer notices.
            producer.stdout.close()
            output, errors = appender.communicate(timeout=COMMAND_S)
            producer.wait(COMMAND_S)
        if appender.returncode or producer.returncode:
            raise StepFailed(shown, (errors or output).strip())

    def start(self, organization: str) -> GatewayProcess:
        """`mesh gateway run` until it says that it is ready. Raises StepFailed, TookTooLong."""
        shown = f"mesh gateway run --config {organization}/mesh.toml"
        self.show(f"{shown} &")
        log = self.directory / organization / "gateway.log"
        with log.open("ab") as errors, self._interrupts.held():
            process = subprocess.Popen(
                [*MESH, "gateway", "run", "--config", f"{organization}/mesh.toml"], cwd=self.directory, env=self._env,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=errors, start_new_session=True,
            )  # fmt: skip
            gateway = GatewayProcess(self.directory / organization / "mesh.toml", process, log)
            self._gateways[organization] = gateway
        assert process.stdout is not None
        if not _line_within(process.stdout, READY_S):
            if process.poll() is None and not select.select([process.stdout], [], [], 0)[0]:
                raise TookTooLong(f"the gateway of {organization} is ready", int(READY_S))
            raise StepFailed(shown, "\n".join(log.read_text(errors="replace").splitlines()[-5:]))
        return gateway

    def gateway(self, organization: str) -> GatewayProcess:
        """The one that was started last for it."""
        return self._gateways[organization]

    def application(self, organization: str, script: str, *arguments: str) -> subprocess.Popen[str]:
        """A program of the working directory, started by `mesh await` when the gateway beside it is ready."""
        state = f"{organization}/state"
        self.show(f"MESH_API_STATE={state} {shlex.join(('mesh', 'await', '--', 'python', script, *arguments))} &")
        with self._interrupts.held():
            process = subprocess.Popen(
                [*MESH, "await", "--", sys.executable, script, *arguments], cwd=self.directory,
                env=self._env | {"MESH_API_STATE": state}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=subprocess.PIPE, text=True, start_new_session=True,
            )  # fmt: skip
            self._commands.append(process)
        return process

    def finish(self, process: subprocess.Popen[str], shown: str) -> str:
        """What the application printed. Raises StepFailed where it has not ended well."""
        output, errors = process.communicate(timeout=COMMAND_S)
        self._commands.remove(process)
        if process.returncode:
            raise StepFailed(shown, errors.strip())
        return output

    def wait(self, what: str, condition: Callable[[], bool], seconds: float = 60.0, every_s: float = 0.05) -> None:
        """Ask until `condition` holds. Raises TookTooLong."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                raise TookTooLong(what, int(seconds))
            time.sleep(every_s)

    def pids(self) -> Sequence[tuple[str, int]]:
        return [(name, gateway.process.pid) for name, gateway in self._gateways.items()]

    def close(self) -> None:
        """End every process; safe to call twice."""
        _end(*self._commands)
        for gateway in self._gateways.values():
            if gateway.process.poll() is None:
                gateway.process.send_signal(signal.SIGTERM)
        for gateway in self._gateways.values():
            gateway.stop()
        self._gateways.clear()

    @contextmanager
    def _command(self, command: Sequence[str], **options: Any) -> Iterator[subprocess.Popen[Any]]:
        """A process in the working directory whose standard output is read; it has ended when this has."""
        with self._interrupts.held():
            process = subprocess.Popen(command, cwd=self.directory, env=self._env, stdout=subprocess.PIPE, **options)
            self._commands.append(process)
        with process:
            try:
                yield process
            finally:
                _end(process)
                self._commands.remove(process)


def _end(*processes: subprocess.Popen[Any]) -> None:
    """No process outlives this: after a KeyboardInterrupt `Popen` itself would not wait for what was killed."""
    for process in processes:
        process.kill()
    for process in processes:
        process.wait()


def _line_within(stream: IO[bytes], seconds: float) -> bytes:
    """The first line, empty where the stream ended or nothing came."""
    ready, _, _ = select.select([stream], [], [], seconds)
    return stream.readline() if ready else b""
