"""Two network namespaces joined by a wire of the kernel's own, which can be cut as real ones are: for whoever is root.

    with joined() as (one, other):
        inside(one.name, dial)            # what a thread of that site sees
        one.down(); one.up()              # the wire, for both
        one.mute(other); one.speak(other)   # what `one` sends vanishes; what the other sends arrives
        one.limit(1_000_000)              # bytes a second

Everything has names with our process id and goes when the block ends; namespaces that a killed process left behind go
when the next one begins.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

NETWORK = "10.211.7"
PREFIX = "mesh-lab-"
_NEW_NETWORK = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class Namespace:
    """One side; `address` is where the other one reaches it."""

    name: str
    device: str
    address: str

    def down(self) -> None:
        _ip("-n", self.name, "link", "set", self.device, "down")

    def up(self) -> None:
        _ip("-n", self.name, "link", "set", self.device, "up")

    def mute(self, other: Namespace) -> None:
        """What we send to the other vanishes; what it sends arrives."""
        _ip("-n", self.name, "route", "replace", "blackhole", f"{other.address}/32")

    def speak(self, other: Namespace) -> None:
        with suppress(NamespaceFailed):
            _ip("-n", self.name, "route", "del", "blackhole", f"{other.address}/32")

    def limit(self, bytes_per_s: int) -> None:
        """Of what we send; 0: no limit."""
        if bytes_per_s:
            rate = ["rate", f"{bytes_per_s * 8}bit", "burst", "32kb", "latency", "400ms"]
            _run(["tc", "-n", self.name, "qdisc", "replace", "dev", self.device, "root", "tbf", *rate])
        else:
            with suppress(NamespaceFailed):
                _run(["tc", "-n", self.name, "qdisc", "del", "dev", self.device, "root"])


class NamespaceFailed(Exception):
    """A command that makes or changes one did not succeed; its words say why."""


def hindrance() -> str:
    """Why there are none on this machine; empty: there are."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    for tool in ("ip", "tc"):
        if shutil.which(tool) is None:
            return f"there is no command {tool}"
    try:
        with joined():
            return ""
    except NamespaceFailed as error:
        return f"network namespaces cannot be made here: {error}"


@contextmanager
def joined() -> Iterator[tuple[Namespace, Namespace]]:
    """Raises NamespaceFailed."""
    _sweep()
    own = f"{PREFIX}{os.getpid()}"
    sides = tuple(
        Namespace(f"{own}-{side}", f"ml{os.getpid()}{side}", f"{NETWORK}.{at}") for at, side in ((1, "a"), (2, "b"))
    )
    try:
        for side in sides:
            _ip("netns", "add", side.name)
            _ip("-n", side.name, "link", "set", "lo", "up")
        one, other = sides
        _ip(
            "-n", one.name, "link", "add", one.device, "type", "veth", "peer", "name", other.device, "netns", other.name
        )
        for side in sides:
            _ip("-n", side.name, "address", "add", f"{side.address}/24", "dev", side.device)
            side.up()
        yield one, other
    finally:
        for side in sides:
            with suppress(NamespaceFailed):
                _ip("netns", "del", side.name)


def inside(namespace: str, what: Callable[[], Answer]) -> Answer:
    """`what`, by a thread whose sockets belong to the namespace."""
    answers: list[Answer] = []
    failures: list[BaseException] = []

    def run() -> None:
        try:
            enter(namespace)
            answers.append(what())
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=run, name=f"inside {namespace}")
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return answers[0]


def enter(namespace: str) -> None:
    """For this thread, until it ends: its new sockets belong there."""
    descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if _libc.setns(descriptor, _NEW_NETWORK) != 0:
            raise NamespaceFailed(os.strerror(ctypes.get_errno()))
    finally:
        os.close(descriptor)


def _sweep() -> None:
    """Delete what dead processes left; a process that is alive keeps its own."""
    for left in Path("/run/netns").glob(f"{PREFIX}*"):
        pid = left.name.removeprefix(PREFIX).partition("-")[0]
        if not Path("/proc", pid).exists():
            with suppress(NamespaceFailed):
                _ip("netns", "del", left.name)


def _ip(*arguments: str) -> None:
    _run(["ip", *arguments])


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except OSError as error:
        raise NamespaceFailed(str(error)) from error
    if done.returncode:
        raise NamespaceFailed(f"{' '.join(command)}: {done.stderr.strip()}")
