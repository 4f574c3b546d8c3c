"""Settings of TLS on the TCP port."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import Field

from constellation_ws.settings.kinds import ReadableFile
from constellation_ws.settings.part import Part
from constellation_ws.tls.certificates import NamedFile, TlsFiles

_CERT = "CONSTELLATION_TCP_TLS_CERT_FILE"
_KEY = "CONSTELLATION_TCP_TLS_KEY_FILE"
_CLIENT_CA = "CONSTELLATION_TCP_TLS_CLIENT_CA_FILE"


class TlsSettings(Part):
    """The port's certificate, and whose certificates it accepts. Changed files are read again."""

    tcp_tls_cert_file: ReadableFile = Field(
        None,
        description="Certificate of the TCP microservice port, with its chain, as PEM. If it is "
        "set, the port accepts only TLS.",
    )
    tcp_tls_key_file: ReadableFile = Field(
        None,
        description="Private key of that certificate, not encrypted, as PEM.",
    )
    tcp_tls_client_ca_file: ReadableFile = Field(
        None,
        description="CA certificates for client certificates, as PEM. If it is set, only clients "
        "with a certificate signed by one of them can connect.",
    )

    def faults(self) -> Iterator[str]:
        """Say in a line each what of these settings, or of their files, cannot work."""
        if (self.tcp_tls_cert_file is None) is not (self.tcp_tls_key_file is None):
            yield f"{_CERT} and {_KEY} must be set together"
        elif self.tcp_tls_client_ca_file is not None and self.tcp_tls_cert_file is None:
            # Half set, the port would be open to everybody.
            yield f"{_CLIENT_CA} needs {_CERT}"
        else:
            yield from self.files().faults()

    def files(self) -> TlsFiles:
        """Give the files of the TCP port; without a certificate the port has no TLS."""
        return TlsFiles(
            cert=_named(self.tcp_tls_cert_file, _CERT),
            key=_named(self.tcp_tls_key_file, _KEY),
            authorities=_named(self.tcp_tls_client_ca_file, _CLIENT_CA),
        )


def _named(path: Path | None, variable: str) -> NamedFile | None:
    return None if path is None else NamedFile(path, variable)
