"""What first contact may raise. No message carries words, keys or what a stranger sent as more than a short repr."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mesh.errors import CallerError, NetworkError, OperatorError, PeerError


@dataclass(eq=False)
class WordsMalformed(CallerError):
    why: str

    code: ClassVar[str] = "words-malformed"
    sentence: ClassVar[str] = "these are not six words of the list: {why}"
    hint: ClassVar[str] = "type the six words as the partner's operator reads them, with blanks between"


@dataclass(eq=False)
class InviteUnfit(CallerError):
    """Wrong words and an altered file look alike: the file's code is made with a key from the words."""

    code: ClassVar[str] = "invite-unfit"
    sentence: ClassVar[str] = (
        "the words do not fit this invite: they are other words, or the file was changed on its way"
    )
    hint: ClassVar[str] = "type the words again; if they are right, ask for a new invite and do not use this one"


@dataclass(eq=False)
class InviteRefused(CallerError):
    why: str

    code: ClassVar[str] = "invite-refused"
    sentence: ClassVar[str] = "this is not a usable invite: {why}"
    hint: ClassVar[str] = "ask the partner's operator for a new one: mesh peer invite"


@dataclass(eq=False)
class InviteExpired(CallerError):
    created: str
    expires: str
    now: str

    code: ClassVar[str] = "invite-expired"
    sentence: ClassVar[str] = (
        "the invite was made {created} and ended {expires} by the partner's clock; here it is {now}"
    )
    hint: ClassVar[str] = "if this clock is right, ask the partner's operator for a new invite"


@dataclass(eq=False)
class InviteNotYetValid(CallerError):
    created: str
    now: str

    code: ClassVar[str] = "invite-not-yet-valid"
    sentence: ClassVar[str] = "the invite was made {created} by the partner's clock; here it is only {now}"
    hint: ClassVar[str] = "one of the two clocks is wrong: set it right at that side"


@dataclass(eq=False)
class InviteAbsent(CallerError):
    invite: str
    nearest: str = ""

    code: ClassVar[str] = "invite-absent"
    sentence: ClassVar[str] = "there is no invite '{invite}'"
    hint: ClassVar[str] = "see the invites with: mesh peer invites"


@dataclass(eq=False)
class InviteTermsRefused(CallerError):
    why: str

    code: ClassVar[str] = "invite-terms-refused"
    sentence: ClassVar[str] = "an invite cannot be made so: {why}"
    hint: ClassVar[str] = "see: mesh peer invite --help"


@dataclass(eq=False)
class PhraseWrong(CallerError):
    org: str

    code: ClassVar[str] = "phrase-wrong"
    sentence: ClassVar[str] = "the confirmation phrase is not the one of {org}: it is not approved"
    hint: ClassVar[str] = (
        "ask its operator to read the six words again; if they differ, somebody else answered: mesh peer reject {org}"
    )


@dataclass(eq=False)
class PeerNotPending(CallerError):
    org: str
    state: str

    code: ClassVar[str] = "peer-not-pending"
    sentence: ClassVar[str] = "the peer {org} is {state}: only a pending one can be approved or rejected"
    hint: ClassVar[str] = "see its state with: mesh peer show {org}"


@dataclass(eq=False)
class PeerPending(CallerError):
    org: str

    code: ClassVar[str] = "peer-pending"
    sentence: ClassVar[str] = "the peer {org} is pending: it becomes active by approval at both sides only"
    hint: ClassVar[str] = (
        "compare the phrase with its operator, then: mesh peer approve {org}, or: mesh peer reject {org}"
    )


@dataclass(eq=False)
class AddressNotPublic(CallerError):
    address: str
    found: str

    code: ClassVar[str] = "address-not-public"
    sentence: ClassVar[str] = (
        "the partner names {address}, which leads to {found}: a private, local or reserved address"
    )
    hint: ClassVar[str] = "if the two gateways do share a private network, repeat with --allow-private-addresses"


@dataclass(eq=False)
class EnrolmentClosed(OperatorError):
    code: ClassVar[str] = "enrolment-closed"
    sentence: ClassVar[str] = "this gateway has no enrolment listener, so it cannot invite"
    hint: ClassVar[str] = "set listen.enrolment in the configuration, or let the partner make the invite"


@dataclass(eq=False)
class RedemptionMalformed(PeerError):
    why: str

    code: ClassVar[str] = "redemption-malformed"
    sentence: ClassVar[str] = "the redemption of the invite is not understood: {why}"
    hint: ClassVar[str] = "the partner's gateway may be of another version"


@dataclass(eq=False)
class EnrolmentRefused(PeerError):
    """The inviter's one constant answer: it does not say why, so neither can we."""

    org: str

    code: ClassVar[str] = "enrolment-refused"
    sentence: ClassVar[str] = (
        "{org} did not accept: the invite is used, ended or withdrawn, or is not for this organization"
    )
    hint: ClassVar[str] = "its operator finds the reason in the gateway's log, and may make a new invite"


@dataclass(eq=False)
class EnrolmentUnproven(PeerError):
    org: str
    why: str

    code: ClassVar[str] = "enrolment-unproven"
    sentence: ClassVar[str] = "who answered is not proven to be {org}: {why}"
    hint: ClassVar[str] = "something stands between the two gateways: do not approve this peer"


@dataclass(eq=False)
class EnrolmentUnanswered(NetworkError):
    org: str
    why: str

    code: ClassVar[str] = "enrolment-unanswered"
    sentence: ClassVar[str] = "{org} did not answer: {why}"
    hint: ClassVar[str] = (
        "check that its enrolment port can be reached, and accept again; if its operator sees this organization as "
        "pending, compare the phrase of mesh peer show instead"
    )
