"""GPU time and energy per user, environment and GPU, kept across restarts. See docs/ledger.md.

:class:`~genvd.ledger.ledger.Ledger` counts each Snapshot in memory; a thread of its own writes the result to a file.
"""
