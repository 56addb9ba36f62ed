"""Output for terminals: ``genv-monitor top`` and the table of ``once``."""
