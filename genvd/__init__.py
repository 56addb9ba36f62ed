"""genv-monitor: monitoring service for machines whose GPUs are shared with genv."""

__version__ = "0.2.0"
