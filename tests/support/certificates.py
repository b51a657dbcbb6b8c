"""Certificates of an authority that nobody trusts by default, made with trustme when a test asks for them."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta

import trustme


class Certificates:
    """One authority; ``bundle`` is the PEM file that trusts it and nobody else."""

    def __init__(self, folder):
        self._authority = trustme.CA()
        self.bundle = folder / "authority.pem"
        self._authority.cert_pem.write_to_path(self.bundle)

    def issued(self, *names, **how):
        return self._authority.issue_cert(*names, **how)

    def server(self, *names, **how) -> ssl.SSLContext:
        """What a server needs to show a certificate for ``names``."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.issued(*names, **how).configure_cert(context)
        return context

    def expired(self, *names) -> ssl.SSLContext:
        return self.server(*names, not_after=datetime.now(UTC) - timedelta(days=1))


def self_signed(folder, name) -> ssl.SSLContext:
    """A server whose certificate is its own authority."""
    authority = trustme.CA()
    path = folder / f"{name}.pem"
    path.write_bytes(authority.private_key_pem.bytes() + authority.cert_pem.bytes())
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(path)
    return context
