"""Settings of TLS on the TCP port."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings

from service.kinds import ReadableFile


class TlsSettings(BaseSettings):
    """Who the port is, and who may talk to it. Files are read anew when they change."""

    tcp_tls_cert_file: ReadableFile = Field(
        None,
        validation_alias="CONSTELLATION_TCP_TLS_CERT_FILE",
        description="Certificate of the TCP microservice port, with its chain, as PEM; with it "
        "the port speaks TLS only.",
    )
    tcp_tls_key_file: ReadableFile = Field(
        None,
        validation_alias="CONSTELLATION_TCP_TLS_KEY_FILE",
        description="Its private key, not encrypted, as PEM.",
    )
    tcp_tls_client_ca_file: ReadableFile = Field(
        None,
        validation_alias="CONSTELLATION_TCP_TLS_CLIENT_CA_FILE",
        description="Certificates that sign those of clients, as PEM; with it only clients that "
        "show one get in.",
    )

    @model_validator(mode="after")
    def _check_tls_is_whole(self) -> Self:
        if (self.tcp_tls_cert_file is None) is not (self.tcp_tls_key_file is None):
            raise ValueError(
                "CONSTELLATION_TCP_TLS_CERT_FILE and CONSTELLATION_TCP_TLS_KEY_FILE go together"
            )
        if self.tcp_tls_client_ca_file is not None and self.tcp_tls_cert_file is None:
            # Half set, the port would be open to everybody.
            raise ValueError(
                "CONSTELLATION_TCP_TLS_CLIENT_CA_FILE needs CONSTELLATION_TCP_TLS_CERT_FILE"
            )
        return self
