"""What the registry of peers, shares, grants and subscriptions refuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from mesh.errors import CallerError, NetworkError, OperatorError


@dataclass(eq=False)
class RegistryEntryDamaged(OperatorError):
    key: str
    why: str

    code: ClassVar[str] = "registry-entry-damaged"
    sentence: ClassVar[str] = "the stored control state under {key!r} cannot be read: {why}"
    hint: ClassVar[str] = "restore the control state from a copy; a newer gateway may have written it"


@dataclass(eq=False)
class _Absent(CallerError):
    name: str
    nearest: str = ""

    listing: ClassVar[str] = ""

    @property
    def remedy(self) -> str:
        listing = f"list what there is with: {self.listing}"
        return f"did you mean '{self.nearest}'? {listing}" if self.nearest else listing


@dataclass(eq=False)
class PeerAbsent(_Absent):
    code: ClassVar[str] = "peer-absent"
    sentence: ClassVar[str] = "peer '{name}' is not known"
    listing: ClassVar[str] = "mesh peer list"


@dataclass(eq=False)
class ShareAbsent(_Absent):
    code: ClassVar[str] = "share-absent"
    sentence: ClassVar[str] = "share '{name}' does not exist"
    listing: ClassVar[str] = "mesh share list"


@dataclass(eq=False)
class GrantAbsent(_Absent):
    code: ClassVar[str] = "grant-absent"
    sentence: ClassVar[str] = "grant '{name}' does not exist"
    listing: ClassVar[str] = "mesh grant list"


@dataclass(eq=False)
class SubscriptionAbsent(_Absent):
    code: ClassVar[str] = "subscription-absent"
    sentence: ClassVar[str] = "subscription '{name}' does not exist"
    listing: ClassVar[str] = "mesh subscription list"


@dataclass(eq=False)
class PeerExists(CallerError):
    name: str

    code: ClassVar[str] = "peer-exists"
    sentence: ClassVar[str] = "peer '{name}' is known already"
    hint: ClassVar[str] = "see it with: mesh peer show {name}"


@dataclass(eq=False)
class ShareExists(CallerError):
    name: str

    code: ClassVar[str] = "share-exists"
    sentence: ClassVar[str] = "share '{name}' exists already"
    hint: ClassVar[str] = "choose another name; what there is shows: mesh share list"


@dataclass(eq=False)
class NotInShare(CallerError):
    share: str
    topic: str
    how: str

    code: ClassVar[str] = "not-in-share"
    sentence: ClassVar[str] = "share '{share}' does not name '{topic}': it holds it {how}"
    hint: ClassVar[str] = "name what it lists, patterns as they are written: mesh share show {share}"


@dataclass(eq=False)
class GrantExists(CallerError):
    share: str
    peer: str

    code: ClassVar[str] = "grant-exists"
    sentence: ClassVar[str] = "share '{share}' is granted to {peer} already"
    hint: ClassVar[str] = "change its terms with: mesh grant set {share} --to {peer}"


@dataclass(eq=False)
class GrantOver(CallerError):
    """Nothing is left to change: who gives the share again shall state all terms."""

    share: str
    peer: str
    over: str

    code: ClassVar[str] = "grant-over"
    sentence: ClassVar[str] = "the grant of share '{share}' to {peer} is {over}"
    hint: ClassVar[str] = "give the share again with: mesh grant create {share} --to {peer}"


@dataclass(eq=False)
class SubscriptionExists(CallerError):
    name: str

    code: ClassVar[str] = "subscription-exists"
    sentence: ClassVar[str] = "subscription '{name}' exists already"
    hint: ClassVar[str] = "give this one another name with --name"


@dataclass(eq=False)
class PeerRevoked(CallerError):
    """Final by design: a state that comes back by accident would undo a revocation."""

    name: str

    code: ClassVar[str] = "peer-revoked"
    sentence: ClassVar[str] = "peer '{name}' is revoked, and a revoked peer stays revoked"
    hint: ClassVar[str] = "the organization can only come back under another name, with new CA keys"


@dataclass(eq=False)
class PeerNotActive(CallerError):
    name: str
    state: str

    code: ClassVar[str] = "peer-not-active"
    sentence: ClassVar[str] = "peer '{name}' is {state}, not active"
    hint: ClassVar[str] = "see what it waits for with: mesh peer show {name}"


@dataclass(eq=False)
class PeerInUse(CallerError):
    name: str
    users: str

    code: ClassVar[str] = "peer-in-use"
    sentence: ClassVar[str] = "peer '{name}' is still used by {users}"
    hint: ClassVar[str] = "revoke the grants and delete the subscriptions first"


@dataclass(eq=False)
class TopicsMissing(CallerError):
    what: str

    code: ClassVar[str] = "topics-missing"
    sentence: ClassVar[str] = "{what} names no topic"
    hint: ClassVar[str] = "name at least one with --topic"


@dataclass(eq=False)
class IllegalTerms(CallerError):
    why: str

    code: ClassVar[str] = "illegal-terms"
    sentence: ClassVar[str] = "a grant cannot have these terms: {why}"
    hint: ClassVar[str] = "times are milliseconds since 1970; the end lies after the start and in the future"


@dataclass(eq=False)
class TopicRepeated(CallerError):
    topic: str
    side: str

    code: ClassVar[str] = "topic-repeated"
    sentence: ClassVar[str] = "{side} topic '{topic}' is named twice"
    hint: ClassVar[str] = "one source topic goes to one destination topic: write each pair once as --topic SRC=DST"


@dataclass(eq=False)
class DestinationTaken(CallerError):
    topic: str
    subscription: str

    code: ClassVar[str] = "destination-taken"
    sentence: ClassVar[str] = "topic '{topic}' is the destination of subscription '{subscription}' already"
    hint: ClassVar[str] = "a destination topic has one writer: choose another topic with --topic SRC=DST"


@dataclass(eq=False)
class TooManyDenied(CallerError):
    org: str
    limit: int

    code: ClassVar[str] = "too-many-denied"
    sentence: ClassVar[str] = "the deny list of {org} holds {limit} keys already"
    hint: ClassVar[str] = "revoke all of its older leaves at once with: mesh peer revoke-leaves {org} --before now"


@dataclass(eq=False)
class LanesNotCleared(NetworkError):
    name: str

    code: ClassVar[str] = "lanes-not-cleared"
    sentence: ClassVar[str] = "an earlier subscription '{name}' has left state that another gateway has not cleared yet"
    hint: ClassVar[str] = "try again in a moment, or choose another name"


@dataclass(eq=False)
class SubscriptionPromoted(CallerError):
    name: str
    state: str

    code: ClassVar[str] = "subscription-promoted"
    sentence: ClassVar[str] = "subscription '{name}' is {state}: its mirror has ended for ever"
    hint: ClassVar[str] = "to mirror the share again, subscribe under another name, to other topics"
