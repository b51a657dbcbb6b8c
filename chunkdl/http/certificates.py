"""Why a certificate was not accepted, in words: expired, of another name, self-signed, of an unknown authority.

Decides sentences and the next step for each; deliberately verifies nothing itself.
"""

from __future__ import annotations

import ssl
from enum import StrEnum

# OpenSSL's X509_V_ERR codes (x509_vfy.h).
_NOT_YET_VALID, _EXPIRED, _NAME_MISMATCH, _ADDRESS_MISMATCH = 9, 10, 62, 64
_SELF_SIGNED = 18
_UNTRUSTED = frozenset({_SELF_SIGNED, 19, 20, 21})  # self-signed alone or in the chain; issuer not known
# How deep aiohttp and the socks library wrap what OpenSSL said.
_MAX_CAUSES = 4


class CertificateFault(StrEnum):
    """What is wrong with a certificate; the values are codes of ``doctor``."""

    EXPIRED = "tls-expired"
    NAME = "tls-name"
    UNKNOWN_AUTHORITY = "tls-unknown-ca"
    OTHER = "tls"


def fault_of(verify_code: int) -> CertificateFault:
    """The fault behind OpenSSL's verification code."""
    if verify_code in {_NOT_YET_VALID, _EXPIRED}:
        return CertificateFault.EXPIRED
    if verify_code in {_NAME_MISMATCH, _ADDRESS_MISMATCH}:
        return CertificateFault.NAME
    return CertificateFault.UNKNOWN_AUTHORITY if verify_code in _UNTRUSTED else CertificateFault.OTHER


def certificate_error(error: BaseException) -> ssl.SSLCertVerificationError | None:
    """What OpenSSL said, wherever the libraries put it; None if no certificate is at fault."""
    seen: BaseException | None = error
    for _ in range(_MAX_CAUSES):
        wrapped = getattr(seen, "certificate_error", None)  # aiohttp's, itself a kind of what it wraps
        if wrapped is None and isinstance(seen, ssl.SSLCertVerificationError):
            return seen
        seen = wrapped or getattr(seen, "__cause__", None)
    return None


def spell_certificate(error: ssl.SSLCertVerificationError) -> tuple[str, str]:
    """A sentence with ``{host}`` in it, and the next step."""
    said = error.verify_message.replace("{", "").replace("}", "")
    fault = fault_of(error.verify_code)
    alone = error.verify_code == _SELF_SIGNED
    sentence = "{host} shows a certificate that it signed itself" if alone else _SENTENCES[fault]
    return f"{sentence} ({said})", _HINTS[fault]


_SENTENCES = {
    CertificateFault.EXPIRED: "the certificate of {host} is out of date",
    CertificateFault.NAME: "the certificate that {host} shows is of another name",
    CertificateFault.UNKNOWN_AUTHORITY: "nobody whom this system trusts vouches for {host}",
    CertificateFault.OTHER: "the certificate of {host} is not accepted",
}
_HINTS = {
    CertificateFault.EXPIRED: "check this machine's clock; if it is right, the certificate has to be renewed there",
    CertificateFault.NAME: "check the mirror's URL; a login page may be in the way: open it in a browser",
    CertificateFault.UNKNOWN_AUTHORITY: "if this is your site's mirror or proxy, the mirror's ca_file (or "
    "SSL_CERT_FILE) names a bundle with its authority; if not, do not trust this network",
    CertificateFault.OTHER: "a proxy may break TLS open; SSL_CERT_FILE names a bundle with its certificate",
}
