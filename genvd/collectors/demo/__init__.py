"""Collectors of a simulated machine (``--demo``), for people without GPUs and for screenshots."""
