"""Collectors for the host: its processes (``processes.py``) and user accounts (``accounts.py``)."""
