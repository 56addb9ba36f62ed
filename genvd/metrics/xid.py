"""Metrics of the errors that the driver tells of a device (XID)."""

from __future__ import annotations

from genvd.metrics.device import of_parts

XID = (
    of_parts(
        "genv_device_xid_errors_total",
        "XID errors of the device since the monitor started; the common ones are counted from 0.",
        ("xid",),
        lambda d: (((x.xid,), x.count) for x in d.xids),
        "counter",
    ),
    of_parts(
        "genv_device_xid_last_seen_timestamp_seconds",
        "When the XID error last occurred, in seconds since the epoch; absent if it has not since the monitor started.",
        ("xid",),
        lambda d: (((x.xid,), x.last_seen) for x in d.xids),
    ),
)
"""The group ``xid``."""
