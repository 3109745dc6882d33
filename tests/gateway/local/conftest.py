from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.local_http import LocalHttp, local_http


@pytest.fixture
async def local(tmp_path: Path) -> AsyncIterator[LocalHttp]:
    async with local_http(tmp_path) as running:
        yield running
