"""Examining this machine and the embedded log: files, disk, lock, and whether the database is sound.

It reads beside a running gateway and locks nothing: who holds the directory is told, not disturbed.
"""

from __future__ import annotations

import asyncio
import os
import resource
import socket
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import apsw

from certs.own import TrustFiles
from gateway.address import Address
from gateway.config import GatewayConfig
from gateway.doctor.findings import Finding, fail, info, ok, warn
from gateway.embedded.cluster import LOG_FILE
from gateway.embedded.errors import DirectoryInUse
from gateway.embedded.lock import DirectoryLock
from gateway.embedded.schema import open_reader
from gateway.rpc.identity import load_identity
from mesh.errors import MeshError

FILES_WARN = 4096
"""A connection per broker and purpose, one per peer and its lanes' streams, and the log: a thousand is soon used up."""
FREE_FAIL, FREE_WARN = 256 << 20, 2 << 30
CHECK_S = 20.0
"""A log of many gigabytes is not read through for a question."""
CHECK_STEPS = 100_000


def check_files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < FILES_WARN:
        return warn(
            "open files",
            f"{soft} at most (the hard limit is {hard})",
            "connections are refused when they are used up",
            f"raise it to {FILES_WARN} or more: ulimit -n, or LimitNOFILE of the service",
        )
    return ok("open files", f"{soft} at most")


def check_space(directory: Path) -> Finding:
    """Of the disk that holds `directory`, which may be still to be made."""
    there = next(each for each in (directory, *directory.parents) if each.exists())
    found = os.statvfs(there)
    free = found.f_bavail * found.f_frsize
    check, text = f"disk of {directory}", f"{free / (1 << 30):.1f} GiB free"
    if free < FREE_WARN:
        level = fail if free < FREE_FAIL else warn
        return level(check, text, "a full disk stops every lane until there is room", "free space, or set retention")
    return ok(check, text)


def check_identity(config: GatewayConfig) -> Finding:
    files = TrustFiles(config.keys_dir)
    try:
        identity = load_identity(files.leaf, files.leaf_key)
    except MeshError as error:
        return fail("identity", str(error), "the gateway does not start", error.remedy)
    return ok("identity", str(identity.id))


def check_start(config: GatewayConfig, now_ms: int) -> Iterator[Finding]:
    """What a gateway that does not run will find taken."""
    if config.cluster_kind == "kafka" and config.state_dir.exists():
        yield check_lock(config.state_dir, now_ms)
    for name, address in (("admin", config.admin_listen), ("peers", config.peers_listen)):
        if address is not None and address.port:
            yield _port(name, address)


def _port(name: str, address: Address) -> Finding:
    check = f"{name} port {address}"
    try:
        with socket.create_server(tuple(address), family=_family(address.host)):
            return ok(check, "free")
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        return fail(check, why, "the gateway does not start", "end what listens there, or choose another port")


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


async def examine_embedded(directory: Path, now_ms: int, *, is_running: bool) -> AsyncIterator[Finding]:
    """`is_running`: whether this process is the gateway that holds the log."""
    yield check_space(directory)
    path = directory / LOG_FILE
    if not path.exists():
        yield info("embedded log", f"there is none in {directory} yet", "the gateway makes it at its first start")
        return
    yield ok("lock", "held by this gateway") if is_running else check_lock(directory, now_ms)
    for finding in await asyncio.to_thread(lambda: list(_database(path))):
        yield finding


def check_lock(directory: Path, now_ms: int) -> Finding:
    try:
        DirectoryLock(directory, now_ms).release()
    except DirectoryInUse as error:
        return info("lock", str(error), "another gateway cannot start on this directory")
    except MeshError as error:
        return fail("lock", str(error), "the gateway does not start", error.remedy)
    return ok("lock", "free")


def _database(path: Path) -> Iterator[Finding]:
    check = "embedded log"
    try:
        db = open_reader(path)
        try:
            mode = str(db.execute("PRAGMA journal_mode").get)
            if mode != "wal":
                yield warn(
                    check, f"journal mode {mode}", "readers and the writer wait for each other", "restart the gateway"
                )
            yield _sound(check, db, path)
        finally:
            db.close()
    except (MeshError, apsw.Error) as error:
        remedy = error.remedy if isinstance(error, MeshError) else "restore the directory from a copy"
        yield fail(check, str(error), "the gateway does not start, or its lanes stop", remedy)
    wal = path.with_name(f"{path.name}-wal")
    size = wal.stat().st_size if wal.exists() else 0
    yield ok("write-ahead log", f"{size >> 20} MiB")


def _sound(check: str, db: apsw.Connection, path: Path) -> Finding:
    ends = time.monotonic() + CHECK_S
    db.set_progress_handler(lambda: time.monotonic() > ends, CHECK_STEPS)
    size = f"{path.stat().st_size / (1 << 20):.0f} MiB"
    try:
        said = str(db.execute("PRAGMA quick_check(1)").get)
    except apsw.InterruptError:
        return info(check, f"{size}; not read through within {CHECK_S:g} s: no damage seen so far")
    if said != "ok":
        return fail(check, said, "records may be lost", "keep the file for examination and restore it from a copy")
    return ok(check, f"{size}, sound")
