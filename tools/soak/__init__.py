"""A soak: ticks at full speed while the outside changes and scrapers come and go, and what that leaves behind.

The process that is measured (``subject``) holds nothing but the monitor and its HTTP server. The one that measures it
changes the outside (``world``), scrapes, and takes samples (``measure``).
"""
