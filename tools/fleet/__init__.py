"""Measures a real Prometheus that scrapes a thousand simulated machines.

``machines`` simulates them, ``site`` serves them, ``queries`` has the queries of the dashboards, ``measure`` runs
these.
"""
