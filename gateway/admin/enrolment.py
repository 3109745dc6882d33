"""First contact: inviting a partner, accepting a partner's invite, approving who came of it.

GET  /v1/invites                     {"invites": [invite]}: what is known of them, never the words
POST /v1/invites                     {expect_domain, name?, ttl_s?, addresses?, enrolment_addresses?,
                                     expect_fingerprint?, allow_private?} -> invite with file, words, reach, advice
POST /v1/invites/accept              {file, words, allow_private?, expect_fingerprint?, addresses?} -> peer with phrase
POST /v1/invites/{id}/withdraw       invite
POST /v1/peers/{org}/approve         {phrase} -> peer
POST /v1/peers/{org}/reject          peer, which is forgotten

The words are in the answer to the first and in the body of the third, and nowhere else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from gateway.admin.errors import BodyRefused
from gateway.admin.fields import Fields
from gateway.admin.ndjson import read_object
from gateway.admin.peers import checked_addresses, shown
from gateway.enrolment.audit import audit_of
from gateway.peer import Peer
from gateway.services import Services
from mesh.errors import MeshError
from mesh.ids import OrgId
from mesh.trust.enrolment import InviteRecord
from mesh.trust.enrolment_errors import EnrolmentClosed, InviteTermsRefused
from mesh.trust.peerfile import PeerFile
from mesh.trust.words import parse_words, spoken

if TYPE_CHECKING:
    from gateway.enrolment.desk import EnrolmentDesk

MAX_NAME = 80


def routes(services: Services) -> list[web.RouteDef]:
    return [*_invite_routes(services), *_pending_routes(services)]


def _invite_routes(services: Services) -> list[web.RouteDef]:
    # The desk brings gRPC with it, which nobody who only reads this module's routes needs.
    from gateway.enrolment.desk import DEFAULT_TTL_S, Acceptance, Wanted
    from gateway.enrolment.reach import advice

    registry = services.registry

    async def listing(request: web.Request) -> web.Response:
        now_ms = services.now_ms()
        found = sorted(registry.invites.values(), key=lambda each: (each.created_ms, each.id))
        return web.json_response({"invites": [invite_shown(each, now_ms) for each in found]})

    async def create(request: web.Request) -> web.Response:
        fields = Fields(
            await read_object(request), "expect_domain", "name", "ttl_s", "addresses", "enrolment_addresses",
            "expect_fingerprint", "allow_private",
        )  # fmt: skip
        wanted = Wanted(
            expected=OrgId(fields.text("expect_domain")),
            name=_note(fields.text("name", "")),
            ttl_s=DEFAULT_TTL_S if (ttl_s := fields.number("ttl_s")) is None else ttl_s,
            addresses=checked_addresses(fields.texts("addresses")),
            enrolment=checked_addresses(fields.texts("enrolment_addresses")),
            expect_fingerprint=fields.text("expect_fingerprint", ""),
            allow_private=_flag(fields.text("allow_private", "no")),
        )
        made = await _desk(services).invite(wanted)
        answer = invite_shown(made.record, services.now_ms()) | {
            "file": made.text,
            "words": spoken(made.words),
            "reach": [each._asdict() for each in made.reach],
            "advice": advice(made.reach),
        }
        return web.json_response(answer, status=201)

    async def accept(request: web.Request) -> web.Response:
        fields = Fields(await read_object(request), "file", "words", "allow_private", "expect_fingerprint", "addresses")
        given = Acceptance(
            fields.text("file"),
            fields.text("words"),
            allow_private=_flag(fields.text("allow_private", "no")),
            expect_fingerprint=fields.text("expect_fingerprint", ""),
            addresses=checked_addresses(fields.texts("addresses")),
        )
        return web.json_response(pending_shown(await _desk(services).accept(given)), status=201)

    async def withdraw(request: web.Request) -> web.Response:
        invite = await registry.withdraw_invite(request.match_info["id"])
        return web.json_response(invite_shown(invite, services.now_ms()))

    return [
        web.get("/v1/invites", listing),
        web.post("/v1/invites", create),
        web.post("/v1/invites/accept", accept),
        web.post("/v1/invites/{id}/withdraw", withdraw),
    ]


def _pending_routes(services: Services) -> list[web.RouteDef]:
    registry, audit = services.registry, audit_of(services)

    async def approve(request: web.Request) -> web.Response:
        org, phrase = request.match_info["org"], Fields(await read_object(request), "phrase").text("phrase")
        try:
            peer = await registry.approve_peer(org, parse_words(phrase))
        except MeshError as error:
            await audit("peer.approved", org, "refused", reason=error.code)
            raise
        return web.json_response(pending_shown(peer))

    async def reject(request: web.Request) -> web.Response:
        peer = await registry.reject_peer(request.match_info["org"])
        return web.json_response(pending_shown(peer))

    return [
        web.post("/v1/peers/{org}/approve", approve),
        web.post("/v1/peers/{org}/reject", reject),
    ]


def invite_shown(invite: InviteRecord, now_ms: int) -> dict[str, object]:
    return {
        "id": invite.id,
        "expect_domain": invite.expected,
        "name": invite.name,
        "state": invite.state(now_ms),
        "created_ms": invite.created_ms,
        "expires_ms": invite.expires_ms,
        "used_ms": invite.used_ms,
        "strikes": invite.strikes,
    }


def pending_shown(peer: Peer) -> dict[str, object]:
    return shown(peer, ()) | {"fingerprint": PeerFile(peer.bundle, peer.addresses).fingerprint}


def _desk(services: Services) -> EnrolmentDesk:
    if services.enrolment is None:
        raise EnrolmentClosed
    return services.enrolment


def _note(text: str) -> str:
    if len(text) > MAX_NAME or not text.isprintable():
        raise InviteTermsRefused(f"its name is not at most {MAX_NAME} printable characters")
    return text


def _flag(text: str) -> bool:
    if text not in {"yes", "no"}:
        raise BodyRefused("field 'allow_private' must be 'yes' or 'no'")
    return text == "yes"
