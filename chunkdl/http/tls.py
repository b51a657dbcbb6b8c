"""Whom TLS trusts: the system's store, or the bundle that SSL_CERT_FILE names.

``truststore`` asks the system on macOS and Windows. On Linux it would read OpenSSL's bundle anew for every
connection, on the event loop (measured: 20 ms each), so there the same bundle is read once.
"""

from __future__ import annotations

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


def trusted_context(ca_file: str = "") -> ssl.SSLContext:
    """A client context that verifies names and chains; reads files, so call it in a thread.

    ``ca_file`` is trusted beside the system's store, as one mirror's own may be.

    Raises:
        UsageError: ``ca_file`` holds no certificates.
    """
    if sys.platform in {"darwin", "win32"}:
        import truststore  # noqa: PLC0415  # loads system frameworks, needed only here

        context: ssl.SSLContext = truststore.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    else:
        context = ssl.create_default_context()
        _load_bundle(context)
    context.set_alpn_protocols(["http/1.1"])
    if ca_file:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise UsageError(
                f"{ca_file} holds no certificates to trust: {error}", hint="name a PEM bundle in ca_file"
            ) from error
    return context


def _load_bundle(context: ssl.SSLContext) -> None:
    paths = ssl.get_default_verify_paths()
    if paths.cafile or (paths.capath and any(Path(paths.capath).iterdir())):
        return
    for bundle in _BUNDLES:
        if Path(bundle).is_file():
            context.load_verify_locations(bundle)
            return
