"""Collectors: each reads one outside system and returns plain facts. They know nothing of metrics."""
