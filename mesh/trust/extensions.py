"""One way to ask a certificate for an extension."""

from __future__ import annotations

from typing import TypeVar

from cryptography import x509
from cryptography.x509 import Certificate, Extension, ExtensionType

T = TypeVar("T", bound=ExtensionType)


def extension(certificate: Certificate, kind: type[T]) -> Extension[T] | None:
    """The extension of that kind, or None where the certificate has none."""
    try:
        return certificate.extensions.get_extension_for_class(kind)
    except x509.ExtensionNotFound:
        return None


def uris(certificate: Certificate) -> list[str]:
    names = extension(certificate, x509.SubjectAlternativeName)
    return names.value.get_values_for_type(x509.UniformResourceIdentifier) if names else []


def dns_names(certificate: Certificate) -> list[str]:
    names = extension(certificate, x509.SubjectAlternativeName)
    return names.value.get_values_for_type(x509.DNSName) if names else []
