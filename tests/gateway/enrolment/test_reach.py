from __future__ import annotations

import asyncio

from gateway.enrolment.reach import Reach, advice, reach_of


async def test_what_listens_answers_and_what_does_not_is_said() -> None:
    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        assert await reach_of([f"127.0.0.1:{port}"]) == [Reach(f"127.0.0.1:{port}", "private", True)]
    assert await reach_of([f"127.0.0.1:{port}"]) == [Reach(f"127.0.0.1:{port}", "private", False)]


def test_the_advice_names_the_side_that_should_invite() -> None:
    private, public = Reach("10.0.0.1:1", "private", True), Reach("gw.acme.example:1", "public", True)
    assert "let it make the invite" in advice([private])
    assert "let it make the invite" in advice([])
    assert advice([private, public]) == ""
    silent = public._replace(answers=False)
    assert advice([private, silent]).startswith("nothing answers at gw.acme.example:1")
