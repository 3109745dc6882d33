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

from gateway.admin import answers
from gateway.admin.peers import checked_addresses, shown
from gateway.enrolment.audit import audit_of
from gateway.http import schemas
from gateway.http.described import Number, Shape, Text, Texts, operation
from gateway.http.fields import fields_of
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
_YES_OR_NO = Text(required=False, choices=("yes", "no"))
NEW_INVITE: Shape = {
    "expect_domain": Text(),
    "name": Text(required=False),
    "ttl_s": Number(),
    "addresses": Texts(),
    "enrolment_addresses": Texts(),
    "expect_fingerprint": Text(required=False),
    "allow_private": _YES_OR_NO,
}
ACCEPTANCE: Shape = {
    "file": Text(),
    "words": Text(),
    "allow_private": _YES_OR_NO,
    "expect_fingerprint": Text(required=False),
    "addresses": Texts(),
}
MADE = schemas.with_fields(
    answers.INVITE, file=schemas.TEXT, words=schemas.TEXT, reach=schemas.list_of(schemas.REPORT), advice=schemas.TEXT
)


def routes(services: Services) -> list[web.RouteDef]:
    return [*_invite_routes(services), *_pending_routes(services)]


def _invite_routes(services: Services) -> list[web.RouteDef]:
    # The desk brings gRPC with it, which nobody who only reads this module's routes needs.
    from gateway.enrolment.desk import DEFAULT_TTL_S, Acceptance, Wanted
    from gateway.enrolment.reach import advice

    registry = services.registry

    @operation("the invites", answers=schemas.object_of({"invites": schemas.list_of(answers.INVITE)}))
    async def listing(request: web.Request) -> web.Response:
        now_ms = services.now_ms()
        found = sorted(registry.invites.values(), key=lambda each: (each.created_ms, each.id))
        return web.json_response({"invites": [invite_shown(each, now_ms) for each in found]})

    @operation("invite a partner", body=NEW_INVITE, answers={201: MADE})
    async def create(request: web.Request) -> web.Response:
        fields = await fields_of(request)
        wanted = Wanted(
            expected=OrgId(fields.text("expect_domain")),
            name=_note(fields.text("name", "")),
            ttl_s=DEFAULT_TTL_S if (ttl_s := fields.number("ttl_s")) is None else ttl_s,
            addresses=checked_addresses(fields.texts("addresses")),
            enrolment=checked_addresses(fields.texts("enrolment_addresses")),
            expect_fingerprint=fields.text("expect_fingerprint", ""),
            allow_private=fields.text("allow_private", "no") == "yes",
        )
        made = await _desk(services).invite(wanted)
        answer = invite_shown(made.record, services.now_ms()) | {
            "file": made.text,
            "words": spoken(made.words),
            "reach": [each._asdict() for each in made.reach],
            "advice": advice(made.reach),
        }
        return web.json_response(answer, status=201)

    @operation("accept a partner's invite", body=ACCEPTANCE, answers={201: answers.PEER_WITH_FINGERPRINT})
    async def accept(request: web.Request) -> web.Response:
        fields = await fields_of(request)
        given = Acceptance(
            fields.text("file"),
            fields.text("words"),
            allow_private=fields.text("allow_private", "no") == "yes",
            expect_fingerprint=fields.text("expect_fingerprint", ""),
            addresses=checked_addresses(fields.texts("addresses")),
        )
        return web.json_response(pending_shown(await _desk(services).accept(given)), status=201)

    @operation("take an invite back", answers=answers.INVITE)
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

    @operation("approve who came of an invite", body={"phrase": Text()}, answers=answers.PEER_WITH_FINGERPRINT)
    async def approve(request: web.Request) -> web.Response:
        org, phrase = request.match_info["org"], (await fields_of(request)).text("phrase")
        try:
            peer = await registry.approve_peer(org, parse_words(phrase))
        except MeshError as error:
            await audit("peer.approved", org, "refused", reason=error.code)
            raise
        return web.json_response(pending_shown(peer))

    @operation("forget who came of an invite", answers=answers.PEER_WITH_FINGERPRINT)
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
