"""When certificates end, compared with what openssl says."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import pytest

from genvd.web.certificate_dates import Validity, read_validity
from tests.support.certificates import issue
from tests.support.needs import need_command


def make(directory: Path, *options: str) -> bytes:
    path = directory / f"{len(list(directory.iterdir()))}.pem"
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", str(directory / "key"))
    command = [need_command("openssl", "openssl"), "req", "-x509", *key, "-subj", "/CN=a", "-out", str(path), *options]
    subprocess.run(command, check=True, capture_output=True)
    return path.read_bytes()


def by_openssl(pem: bytes, *others: bytes) -> Validity:
    """Return what openssl says of one certificate, and of when the last of it and others begins."""
    begin, end = _times(pem)
    return Validity(begin, end, max([begin, *(_times(other)[0] for other in others)]))


def _times(pem: bytes) -> list[float]:
    command = [need_command("openssl", "openssl"), "x509", "-startdate", "-enddate", "-noout"]
    text = subprocess.run(command, input=pem, check=True, capture_output=True).stdout.decode()
    return [float(ssl.cert_time_to_seconds(line.partition("=")[2])) for line in text.splitlines()]


@pytest.mark.parametrize("days", ["1", "90", "36500"])  # the last is a GeneralizedTime, the others are UTCTimes
def test_times_are_those_of_openssl(tmp_path: Path, days: str) -> None:
    pem = make(tmp_path, "-days", days)
    assert read_validity(pem) == by_openssl(pem)


def test_of_several_the_first_counts(tmp_path: Path) -> None:
    chain = [make(tmp_path, "-days", days) for days in ("90", "2", "300")]
    assert read_validity(b"# a comment \xff\n" + b"".join(chain)) == by_openssl(chain[1], *chain)


def test_a_client_certificate_of_a_ca_is_read_too(tmp_path: Path) -> None:
    ca = issue(tmp_path, "ca", sans="DNS:ca")
    pem = issue(tmp_path, "client", ca=ca).pem.encode()
    assert read_validity(pem) == by_openssl(pem)


def test_what_is_none_has_no_end(tmp_path: Path) -> None:
    pem = make(tmp_path, "-days", "1")
    der = ssl.PEM_cert_to_DER_cert(pem.decode())
    assert read_validity(b"") is None
    assert read_validity(b"-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n") is None
    for length in range(0, len(der), 7):  # up to its last bytes, of which the outermost length knows
        assert read_validity(ssl.DER_cert_to_PEM_cert(der[:length]).encode()) is None
