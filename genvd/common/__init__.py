"""Helpers for all packages: text, files, time, worker threads, the error log. Nothing here is specific to GPUs."""
