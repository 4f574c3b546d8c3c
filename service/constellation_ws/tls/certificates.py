"""Checks of the certificate and key files that settings name: one line for each fault.

OpenSSL reports only that two files cannot be used together; this finds out which one is wrong.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key

_NO_CERTIFICATE = "it has no PEM certificate"


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file, and the setting that names it."""

    path: Path
    variable: str
    option: str = ""
    """Option of the URL in that variable; empty if the variable contains only the path."""

    def says(self, fault: str) -> str:
        """Return a line about this file."""
        as_option = f" as {self.option}" if self.option else ""
        return f"{self.variable} names {str(self.path)!r}{as_option}: {fault}"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The files of one side of TLS; each may be absent."""

    cert: NamedFile | None = None
    key: NamedFile | None = None
    """None if the certificate's file also contains the key."""
    authorities: NamedFile | None = None
    password: str | None = None
    """Of the key."""

    def faults(self) -> Iterator[str]:
        """Yield one line for each file that cannot be used, whatever the time is."""
        files = [file for file in (self.cert, self.key, self.authorities) if file is not None]
        unreadable = [line for line in map(_unreadable, files) if line]
        yield from unreadable
        if unreadable:
            return
        if self.cert is not None:
            yield from _pair_faults(self.cert, self.key or self.cert, self.password)
        if self.authorities is not None:
            yield from _authorities_faults(self.authorities)

    def invalid_at(self, now: datetime) -> Iterator[str]:
        """Yield one line for each file whose certificate is not valid at a time.

        Of a chain the first certificate counts, as the other side checks it. Of authorities, one
        valid certificate is enough.
        """
        if self.cert is not None:
            first = _certificates(self.cert)[:1]
            yield from (self.cert.says(fault) for one in first if (fault := _invalid(one, now)))
        if self.authorities is not None:
            faults = [_invalid(one, now) for one in _certificates(self.authorities)]
            if faults and all(faults):
                yield self.authorities.says(str(faults[-1]))


def _unreadable(file: NamedFile) -> str | None:
    try:
        file.path.open("rb").close()
    except OSError as error:
        return file.says(f"it cannot be read ({error.strerror})")
    return None


def _pair_faults(cert: NamedFile, key: NamedFile, password: str | None) -> Iterator[str]:
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        # A callable, as OpenSSL prompts at the terminal if the password is None.
        context.load_cert_chain(cert.path, key.path, lambda: password or "")
    except ssl.SSLError as error:
        yield _wrong_file(cert, key, password, error)


def _wrong_file(cert: NamedFile, key: NamedFile, password: str | None, error: ssl.SSLError) -> str:
    certificates = _certificates(cert)
    if not certificates:
        return cert.says(_NO_CERTIFICATE)
    try:
        secret = password.encode() if password else None
        public_key = load_pem_private_key(key.path.read_bytes(), secret).public_key()
    except TypeError:
        return key.says("its key is encrypted, and no password is set")
    except (ValueError, UnsupportedAlgorithm):
        return key.says("it has no PEM private key, or the password does not decrypt it")
    if public_key != certificates[0].public_key():
        return key.says(f"its key does not match the certificate in {str(cert.path)!r}")
    return cert.says(f"OpenSSL refuses it ({error.reason})")


def _authorities_faults(file: NamedFile) -> Iterator[str]:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file.path)
    except ssl.SSLError:
        yield file.says(_NO_CERTIFICATE)


def _certificates(file: NamedFile) -> list[x509.Certificate]:
    """Read a file; empty if it contains no certificate, or cannot be read."""
    try:
        return x509.load_pem_x509_certificates(file.path.read_bytes())
    except (OSError, ValueError):
        return []


def _invalid(certificate: x509.Certificate, now: datetime) -> str | None:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if now > ends:
        return f"its certificate has expired (at {ends:%Y-%m-%d %H:%M} UTC)"
    if now < begins:
        return f"its certificate is not valid yet (before {begins:%Y-%m-%d %H:%M} UTC)"
    return None
