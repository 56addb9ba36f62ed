"""Collectors for genv: its state on disk (``state.py``) and its command (``command.py``)."""
