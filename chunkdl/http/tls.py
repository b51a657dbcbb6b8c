"""Whom TLS trusts: the system's store, or the bundle that SSL_CERT_FILE names.

``truststore`` asks the system on macOS and Windows. On Linux it would read OpenSSL's bundle anew for every
connection, on the event loop (measured: 20 ms each), so there the same bundle is read once.
"""

from __future__ import annotations

import os
import ssl
import sys
from pathlib import Path

from chunkdl.errors import UsageError

# Where distributions keep the bundle when the interpreter was built with other paths (python-build-standalone, conda).
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch, Alpine
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # BSD
)


def trusted_context(ca_file: str = "", *, named: str | None = None) -> ssl.SSLContext:
    """A client context that verifies names and chains; reads files, so call it in a thread.

    Args:
        ca_file: trusted beside the rest, as one mirror's own may be.
        named: the bundle that alone is trusted on every platform; by default SSL_CERT_FILE's. Empty: the system's.

    Raises:
        UsageError: one of the files holds no certificates.
    """
    named = os.environ.get("SSL_CERT_FILE", "") if named is None else named
    context = _pinned(named) if named else _of_the_system()
    context.set_alpn_protocols(["http/1.1"])
    if ca_file:
        _trust(context, ca_file, said_in="ca_file")
    return context


def _pinned(bundle: str) -> ssl.SSLContext:
    """Whoever names a bundle means it alone: OpenSSL would trust the system's folder of certificates as well."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _trust(context, bundle, said_in="SSL_CERT_FILE")
    return context


def _of_the_system() -> ssl.SSLContext:
    if sys.platform in {"darwin", "win32"}:
        import truststore  # noqa: PLC0415  # loads system frameworks, needed only here

        return truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context = ssl.create_default_context()
    _load_bundle(context)
    return context


def _trust(context: ssl.SSLContext, bundle: str, *, said_in: str) -> None:
    try:
        context.load_verify_locations(bundle)
    except OSError as error:  # ssl.SSLError is one
        raise UsageError(
            f"{bundle} holds no certificates to trust: {error}", hint=f"name a PEM bundle in {said_in}"
        ) from error


def _load_bundle(context: ssl.SSLContext) -> None:
    paths = ssl.get_default_verify_paths()
    if paths.cafile or (paths.capath and any(Path(paths.capath).iterdir())):
        return
    for bundle in _BUNDLES:
        if Path(bundle).is_file():
            context.load_verify_locations(bundle)
            return
