"""The page and its parts, as they lie in the package: no build step, nothing from elsewhere.

GET /console/           the page; it shows one thing or another by what stands behind # in the address
GET /console/{name}     its modules, styles and icon, by their names and no others
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from aiohttp import web

from gateway.http.described import operation

DIRECTORY: Final = Path(__file__).parent / "static"
PAGE: Final = "index.html"
TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}


def routes() -> list[web.RouteDef]:
    known = {path.name: path for path in DIRECTORY.iterdir() if path.suffix in TYPES}

    @operation("the page", is_open=True)
    async def page(request: web.Request) -> web.StreamResponse:
        return _file(known[PAGE])

    @operation("a part of the page", is_open=True)
    async def part(request: web.Request) -> web.StreamResponse:
        found = known.get(request.match_info["name"])
        if found is None:
            raise web.HTTPNotFound
        return _file(found)

    return [web.get("/", page), web.get("/{name}", part)]


def _file(path: Path) -> web.FileResponse:
    # asked again each time, and answered with 304 where nothing has changed: a new version is seen at once
    return web.FileResponse(path, headers={"Content-Type": TYPES[path.suffix], "Cache-Control": "no-cache"})
