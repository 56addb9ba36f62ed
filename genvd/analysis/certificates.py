"""Certificates of the web configuration that are not valid now, in words."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from genvd.model.snapshot import CertificateEnd


def invalidity(certificate: CertificateEnd, now: float) -> str | None:
    """Return what is wrong with the time in which a certificate is valid; None if it is valid.

    Args:
        certificate: when it is valid.
        now: Unix time in seconds.
    """
    if certificate.not_after <= now:
        return f"ended on {_day(certificate.not_after)}"
    if certificate.all_begun is not None and certificate.all_begun > now:
        return f"is not valid before {_day(certificate.all_begun)}"
    return None


def _day(moment: float) -> str:
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
