"""The jars of Apache Kafka, resolved once by Maven into build/kafka.

Safe for several processes at once: a lock file admits one resolver, a stamp holding the digest of the pom tells the
others that its work is done. A changed pom resolves anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
POM = Path(__file__).with_name("kafka") / "pom.xml"
BUILD = ROOT / "build" / "kafka"


def classpath() -> str:
    """Java's class path of a broker and its tools; runs Maven where they are not there yet."""
    return str(_resolved() / "*")


def kafka_version() -> str:
    """As the pom names it."""
    found = re.search(r"<kafka.version>([^<]+)<", POM.read_text())
    assert found is not None, POM
    return found[1]


def _resolved() -> Path:
    BUILD.mkdir(parents=True, exist_ok=True)
    # without links: Java knows an archive of classes by the path that they were loaded from
    jars, stamp = BUILD.resolve() / "jars", BUILD / "stamp"
    digest = hashlib.sha256(POM.read_bytes()).hexdigest()
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != digest:
            _resolve(jars)
            stamp.write_text(digest)
    return jars


def _resolve(jars: Path) -> None:
    shutil.rmtree(jars, ignore_errors=True)
    command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={jars}"]
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"Maven could not resolve Kafka's jars:\n{done.stdout[-4000:]}")
