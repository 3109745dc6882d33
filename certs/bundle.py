"""Our own bundle: what peers verify us by. The value itself is `mesh.trust.bundle.Bundle`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from cryptography.x509 import Certificate

from mesh.ids import OrgId
from mesh.trust.bundle import Bundle, validate_bundle
from mesh.trust.pem import to_der


def bundle_of(org: OrgId, roots: Sequence[Certificate], now: datetime, sequence: int = 1) -> Bundle:
    """The bundle of `org` with these CA certificates. Raises BundleRefused where peers would refuse it."""
    bundle = Bundle(org, sequence, tuple(to_der(root) for root in roots), now)
    validate_bundle(bundle, now)
    return bundle
