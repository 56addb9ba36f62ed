"""Soak test: ticks at full speed while the machine changes and clients connect; checks memory, threads and descriptors.

``subject`` is the measured process: the monitor and its HTTP server, nothing else. The measuring process changes the
simulated machine (``machine``), scrapes, and takes samples (``measure``).
"""
