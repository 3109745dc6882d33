"""Copies of the work tree with one patch applied, in which whatever runs imports the patched product.

    with patched(Path("tests/planted/bugs/14-reset-to-earliest.patch")) as directory:
        done = run(directory, [sys.executable, "-m", "pytest", "-q", "tests/mesh"], timeout_s=60)

The work tree itself is only read. What runs takes all of the project from the copy, `tests` too, and the packages of
others from the environment of this Python.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import cache_from_source
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]


class PatchRefused(Exception):
    """The patch does not apply to the work tree."""


@contextmanager
def patched(patch: Path | None) -> Iterator[Path]:
    """A directory with the tracked and the new files of the work tree, `patch` applied (None: as they are).

    It is gone afterwards. Raises PatchRefused.
    """
    with TemporaryDirectory(prefix="planted-") as name:
        directory = Path(name)
        _copy(directory)
        if patch is not None:
            _apply(patch, directory)
        yield directory


def run(directory: Path, command: Sequence[str], timeout_s: float) -> subprocess.CompletedProcess[str]:
    """Run the command in the copy; its standard error is in `stdout`, too. Raises TimeoutExpired.

    When it has ended, or its time is up, no process of its group is left; temporary files of its own go with the copy.
    """
    scratch = directory / "tmp"
    scratch.mkdir(exist_ok=True)
    environment = os.environ | {"PYTHONPATH": str(directory), "TMPDIR": str(scratch)}
    process = subprocess.Popen(
        list(command),
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired as error:
        _end_group(process.pid)
        error.output, _ = process.communicate()
        raise
    finally:
        _end_group(process.pid)
        process.wait()
    return subprocess.CompletedProcess(list(command), process.returncode, output)


def touched(patch: Path) -> list[str]:
    """The files that a patch changes, from the root of the project."""
    lines = patch.read_text(encoding="utf-8").splitlines()
    return [line.removeprefix("+++ b/").split("\t")[0] for line in lines if line.startswith("+++ b/")]


def check(patch: Path) -> str:
    """Why the patch does not apply to the work tree, empty where it does."""
    done = _git("apply", "--check", str(patch.resolve()))
    return "" if done.returncode == 0 else done.stderr.strip()


def _copy(directory: Path) -> None:
    listed = _git("ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.stdout.split("\0")):
        origin, target = ROOT / name, directory / name
        if not origin.is_file():  # deleted and not committed yet
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(origin, target)  # with its time, by which the compiled module beside it is known to fit
        if origin.suffix == ".py" and (compiled := Path(cache_from_source(str(origin)))).is_file():
            kept = Path(cache_from_source(str(target)))
            kept.parent.mkdir(exist_ok=True)
            shutil.copy2(compiled, kept)
    if (ROOT / "build").is_dir():
        (directory / "build").symlink_to(ROOT / "build")  # the jars of the brokers


def _apply(patch: Path, directory: Path) -> None:
    # Outside of any repository: `git apply` would leave out what lies beyond one's own directory in it.
    ceiling = {"GIT_CEILING_DIRECTORIES": str(directory.parent), "GIT_DIR": str(directory / "none")}
    done = _git("apply", "--whitespace=nowarn", str(patch.resolve()), directory=directory, **ceiling)
    if done.returncode:
        raise PatchRefused(f"{patch.name}: {done.stderr.strip()}")
    for name in touched(patch):
        Path(cache_from_source(str(directory / name))).unlink(missing_ok=True)


def _git(*arguments: str, directory: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    command = ["git", *arguments]
    return subprocess.run(
        command, cwd=directory, env=os.environ | environment, capture_output=True, text=True, check=False
    )


def _end_group(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
