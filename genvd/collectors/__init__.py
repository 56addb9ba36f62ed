"""Collectors: each knows one kind of outside thing and gives plain facts. None of them knows a metric."""
