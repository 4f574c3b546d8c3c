"""Certificates for tests: an authority, and what it has signed, as files."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

HOST = "127.0.0.1"
_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
_DAY = datetime.timedelta(days=1)


class Authority:
    """Signs certificates for this machine's address; all files lie in one folder."""

    def __init__(
        self, folder: Path, name: str = "authority", days: tuple[int, int] = (-1, 1)
    ) -> None:
        """Its own certificate, and those that it issues, are valid between `days` from now."""
        self._folder = folder
        self._days = days
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        constraint = x509.BasicConstraints(ca=True, path_length=0)
        signed = self._sign(self._name, self._key.public_key(), constraint)
        self.cert_file = folder / f"{name}.crt"
        self.cert_file.write_bytes(signed)

    def issue(self, name: str) -> tuple[Path, Path]:
        """Write a certificate and its key, over those of that name; give their paths."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        alternative = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
        cert_file, key_file = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        cert_file.write_bytes(self._sign(subject, key.public_key(), alternative))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return cert_file, key_file

    def client(self, cert: tuple[Path, Path] | None = None) -> ssl.SSLContext:
        """Trust this authority, and show a certificate where there is one."""
        context = ssl.create_default_context(cafile=str(self.cert_file))
        if cert is not None:
            context.load_cert_chain(*cert)
        return context

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePublicKey, extension: x509.ExtensionType
    ) -> bytes:
        now = datetime.datetime.now(datetime.UTC)
        is_authority = isinstance(extension, x509.BasicConstraints)
        ours = self._key.public_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + self._days[0] * _DAY)
            .not_valid_after(now + self._days[1] * _DAY)
            .add_extension(extension, critical=is_authority)
            # Python 3.13 and newer refuse certificates without these, as RFC 5280 says.
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ours), critical=False)
        )
        if is_authority:
            builder = builder.add_extension(_SIGNS_CERTIFICATES, critical=True)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
