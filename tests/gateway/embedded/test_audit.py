"""The audit table of the embedded log: nothing but additions, in older logs too."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from gateway.embedded.cluster import LOG_FILE, open_embedded


async def test_the_file_itself_refuses_changes_and_removals(tmp_path: Path) -> None:
    log = await open_embedded(tmp_path, now_ms=0)
    await log.audit.append([b"one", b"two"], 0)
    await log.close()
    db = apsw.Connection(str(tmp_path / LOG_FILE))
    for statement in ("UPDATE audit SET entry = x'00'", "DELETE FROM audit WHERE entry_index = 1"):
        with pytest.raises(apsw.ConstraintError, match="append-only"):
            db.execute(statement)
    db.close()


async def test_a_log_from_before_gets_the_table_and_entries_outlive_a_restart(tmp_path: Path) -> None:
    await (await open_embedded(tmp_path, now_ms=0)).close()
    db = apsw.Connection(str(tmp_path / LOG_FILE))
    db.execute("DROP TABLE audit")
    db.close()
    for number in range(3):
        log = await open_embedded(tmp_path, now_ms=0)
        assert await log.audit.end() == number
        await log.audit.append([b"%d" % number], number)
        await log.close()
