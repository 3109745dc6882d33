"""Programs of Kafka as child processes that do not outlive us, started as fast as Java lets them."""

from __future__ import annotations

import ctypes
import fcntl
import functools
import hashlib
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.support.jars import BUILD, POM, classpath

QUICK_JVM = ("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto")
WARM_JVM = ("-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20")


def java_command(
    main: str, arguments: Sequence[str], jvm: Sequence[str] = (), heap_mb: int = 512, log_level: str = "warn"
) -> list[str]:
    """The command line of a Kafka program, e.g. `org.apache.kafka.connect.mirror.MirrorMaker`."""
    level = f"-Dorg.slf4j.simpleLogger.defaultLogLevel={log_level}"
    return ["java", f"-Xmx{heap_mb}m", *jvm, level, "-cp", classpath(), main, *arguments]


def quick_jvm(archived: Callable[[Path], None]) -> tuple[str, ...]:
    """Options of programs that live for seconds: little is compiled, and classes are mapped from an archive.

    Loading and checking them anew is half of what a broker's start costs. The archive lies beside the jars; where there
    is none that fits them, `archived` makes it, by a broker that it starts with `archiving` and ends in good order.
    """
    return (*QUICK_JVM, f"-XX:SharedArchiveFile={_class_archive(archived)}")


def archiving(archive: Path) -> tuple[str, ...]:
    """Options of the broker that makes it: classes are archived as it ends."""
    return (*QUICK_JVM, f"-XX:ArchiveClassesAtExit={archive}")


@functools.cache
def _class_archive(archived: Callable[[Path], None]) -> Path:
    version = subprocess.run(["java", "-version"], capture_output=True, text=True, timeout=60, check=True).stderr
    # in its name is all that it must fit, and one process at a time makes it
    kind = hashlib.sha256(f"{classpath()} {version} {POM.read_text()}".encode()).hexdigest()[:12]
    archive = BUILD / f"classes-{kind}.jsa"
    with (BUILD / "archive-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not archive.exists():
            made = archive.with_suffix(".new")
            archived(made)
            made.rename(archive)
    return archive


_PARENT = ThreadPoolExecutor(1, "parent of brokers")
_LIBC = ctypes.CDLL(None)
_SET_PARENT_DEATH_SIGNAL = 1


def start_process(command: Sequence[str], output: int) -> subprocess.Popen[bytes]:
    """Start a child in a process group of its own that the kernel kills when we die.

    The leash is tied to the thread that starts it, hence one that stays; and it is put on before the child runs
    anything, so that there is no moment without it.
    """

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=_leash if sys.platform == "linux" else None,  # noqa: PLW1509 - one system call, no lock
        )

    return _PARENT.submit(start).result()


def _leash() -> None:
    _LIBC.prctl(_SET_PARENT_DEATH_SIGNAL, int(signal.SIGKILL), 0, 0, 0)
