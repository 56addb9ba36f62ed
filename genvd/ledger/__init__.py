"""Who used how much: GPU time and energy by user, environment and device, kept across restarts. See docs/ledger.md.

Each tick hands its Snapshot to the :class:`~genvd.ledger.ledger.Ledger`, which only counts in memory; a thread of its
own writes what was counted to a file.
"""
