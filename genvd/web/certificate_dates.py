"""Reads the validity period of certificates in PEM form.

Python's ssl returns it only for trusted certificates of a peer and for CAs, not for the server's own certificate.
"""

from __future__ import annotations

import re
import ssl
from datetime import datetime, timezone
from operator import itemgetter
from typing import NamedTuple

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)

_SEQUENCE, _INTEGER, _VERSION, _UTC_TIME, _GENERALIZED_TIME = 0x30, 0x02, 0xA0, 0x17, 0x18
"""DER tags (X.690, section 8)."""

_FORMATS = {_UTC_TIME: "%y%m%d%H%M%SZ", _GENERALIZED_TIME: "%Y%m%d%H%M%SZ"}
"""The formats of times in certificates (RFC 5280, section 4.1.2.5)."""

_UTC_TIME_BEGINS = 1950
"""The first year of a UTCTime, which has two digits for the year."""


class Validity(NamedTuple):
    """The validity of the certificates in a file, in Unix times."""

    not_before: float
    not_after: float
    """The validity of the certificate that expires first."""
    all_begun: float
    """The latest start of validity."""


def read_validity(content: bytes) -> Validity | None:
    """Return the validity of the certificates in a PEM file; None if there are none, or if one cannot be parsed."""
    try:
        found = [_validity_of(ssl.PEM_cert_to_DER_cert(pem)) for pem in _PEM.findall(content.decode("latin-1"))]
    except (ValueError, IndexError, OverflowError):
        return None
    if not found:
        return None
    not_before, not_after = min(found, key=itemgetter(1))
    return Validity(not_before, not_after, max(begin for begin, _ in found))


def _validity_of(certificate: bytes) -> tuple[float, float]:
    """Return notBefore and notAfter of a certificate (RFC 5280, section 4.1)."""
    _, outer, _ = _element(certificate)
    _, signed, _ = _element(outer)
    tag, _, rest = _element(signed)
    if tag == _VERSION:
        tag, _, rest = _element(rest)
    if tag != _INTEGER:
        raise ValueError("no serial number")
    for _ in ("signature", "issuer"):
        _, _, rest = _element(rest)
    tag, times, _ = _element(rest)
    if tag != _SEQUENCE:
        raise ValueError("no validity")
    tag, text, rest = _element(times)
    begin = _time(tag, text)
    tag, text, _ = _element(rest)
    return begin, _time(tag, text)


def _time(tag: int, text: bytes) -> float:
    moment = datetime.strptime(text.decode("ascii"), _FORMATS.get(tag, "")).replace(tzinfo=timezone.utc)
    if tag == _UTC_TIME and moment.year >= _UTC_TIME_BEGINS + 100:
        moment = moment.replace(year=moment.year - 100)
    return moment.timestamp()


def _element(data: bytes) -> tuple[int, bytes, bytes]:
    """Return the tag and the content of the first DER element, and the data after it."""
    tag, length, begin = data[0], data[1], 2
    if length & 0x80:
        begin += length & 0x7F
        length = int.from_bytes(data[2:begin], "big")
    if begin + length > len(data):
        raise ValueError("truncated")
    return tag, data[begin : begin + length], data[begin + length :]
