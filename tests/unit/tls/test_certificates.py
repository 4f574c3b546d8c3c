"""Files of certificates: which of them is at fault, why, and which setting names it."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from constellation_ws.tls.certificates import NamedFile, TlsFiles
from tests.certificates import Authority

NOW = datetime.datetime.now(datetime.UTC)


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def pair(authority: Authority) -> tuple[Path, Path]:
    return authority.issue("server")


def files(
    cert: Path | None, key: Path | None, ca: Path | None = None, password: str | None = None
) -> TlsFiles:
    return TlsFiles(
        cert=None if cert is None else NamedFile(cert, "CERT"),
        key=None if key is None else NamedFile(key, "KEY"),
        authorities=None if ca is None else NamedFile(ca, "URL", "ca_option"),
        password=password,
    )


def encrypt(key_file: Path, password: bytes) -> None:
    key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(password),
        )
    )


def test_good_files_have_no_faults(authority: Authority, pair: tuple[Path, Path]) -> None:
    good = files(*pair, authority.cert_file)

    assert list(good.faults()) == []
    assert list(good.invalid_at(NOW)) == []
    assert list(files(None, None).faults()) == []


def test_one_file_may_hold_the_certificate_and_its_key(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    both = tmp_path / "both.pem"
    both.write_bytes(pair[0].read_bytes() + pair[1].read_bytes())

    assert list(files(both, None).faults()) == []


def test_every_file_that_cannot_be_read_has_its_line(
    pair: tuple[Path, Path], tmp_path: Path
) -> None:
    missing = tmp_path / "missing"

    assert list(files(missing, pair[1], tmp_path).faults()) == [
        f"CERT names '{missing}': it cannot be read (No such file or directory)",
        f"URL names '{tmp_path}' as ca_option: it cannot be read (Is a directory)",
    ]


@pytest.mark.parametrize("content", [b"", b"\xff", b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_files_that_hold_something_else_are_named(
    content: bytes, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    other = tmp_path / "other"
    other.write_bytes(content)

    assert list(files(other, pair[1]).faults()) == [
        f"CERT names '{other}': it has no PEM certificate"
    ]
    (line,) = files(pair[0], other).faults()
    assert line.startswith(f"KEY names '{other}': it has no PEM private key")
    assert list(files(None, None, other).faults()) == [
        f"URL names '{other}' as ca_option: it has no PEM certificate"
    ]


def test_a_key_of_another_certificate_is_named(
    authority: Authority, pair: tuple[Path, Path]
) -> None:
    _, other = authority.issue("other")

    assert list(files(pair[0], other).faults()) == [
        f"KEY names '{other}': its key does not match the certificate in '{pair[0]}'"
    ]


def test_an_encrypted_key_needs_its_password(pair: tuple[Path, Path]) -> None:
    encrypt(pair[1], b"secret")

    assert list(files(*pair, password="secret").faults()) == []
    (without,) = files(*pair).faults()
    (wrong,) = files(*pair, password="hunter2").faults()
    assert without == f"KEY names '{pair[1]}': its key is encrypted, and no password is set"
    assert wrong.startswith(f"KEY names '{pair[1]}': it has no PEM private key")
    assert "hunter2" not in wrong


@pytest.mark.parametrize(
    ("days", "says"), [((-3, -1), "has expired (at 2"), ((1, 3), "is not valid yet (before 2")]
)
def test_a_certificate_that_is_not_valid_now_is_no_fault_of_the_file_and_is_named(
    days: tuple[int, int], says: str, tmp_path: Path
) -> None:
    authority = Authority(tmp_path, days=days)
    pair = authority.issue("server")
    invalid = files(*pair, authority.cert_file)

    assert list(invalid.faults()) == []
    cert, ca = invalid.invalid_at(NOW)
    assert cert.startswith(f"CERT names '{pair[0]}': its certificate {says}")
    assert ca.startswith(f"URL names '{authority.cert_file}' as ca_option: its certificate {says}")


def test_one_valid_authority_is_enough_and_of_a_chain_the_first_counts(
    authority: Authority, pair: tuple[Path, Path], tmp_path: Path
) -> None:
    old = Authority(tmp_path, "old", days=(-3, -1)).cert_file.read_bytes()
    bundle, chain = tmp_path / "bundle", tmp_path / "chain"
    bundle.write_bytes(old + authority.cert_file.read_bytes())
    chain.write_bytes(pair[0].read_bytes() + old)

    assert list(files(chain, pair[1], bundle).invalid_at(NOW)) == []


def test_files_that_are_gone_by_now_are_not_judged(tmp_path: Path) -> None:
    missing = tmp_path / "missing"

    assert list(files(missing, missing, missing).invalid_at(NOW)) == []
