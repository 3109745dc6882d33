"""What a peer is told of our errors: what concerns its lane, and nothing of how we are built.

Names of brokers, paths and principals stand in our own log. An error that is not listed here becomes one that says only
whether asking again may help.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from gateway.losses import SourceLost
from mesh.batch.errors import LogUnreadable
from mesh.cluster_errors import TopicAbsent
from mesh.errors import CallerError, MeshError, NetworkError, OperatorError
from mesh.origins import OriginChanged
from mesh.policy import ShareNotAvailable

# A CallerError speaks of the request itself; the others of the source as the lane meets it.
PUBLIC = (CallerError, OriginChanged, LogUnreadable, SourceLost)


@dataclass(eq=False)
class ProviderBusy(NetworkError):
    code: ClassVar[str] = "provider-unavailable"
    sentence: ClassVar[str] = "the provider cannot serve this now"
    hint: ClassVar[str] = "it is asked again by itself; if it lasts, ask the provider's operator"


@dataclass(eq=False)
class ProviderFailed(OperatorError):
    code: ClassVar[str] = "provider-failed"
    sentence: ClassVar[str] = "the provider cannot serve this until its operator has acted"
    hint: ClassVar[str] = "ask the provider's operator, who finds the reason in the gateway's log"


def public(error: MeshError, share: str) -> MeshError:
    """`error` as the peer may see it."""
    if isinstance(error, TopicAbsent):
        return ShareNotAvailable(share)
    if isinstance(error, PUBLIC):
        return error
    return ProviderBusy() if error.retriable else ProviderFailed()
