"""A thousand simulated machines in one process, one real Prometheus that scrapes them, and what that costs.

``machines`` are the machines, ``site`` serves them, ``queries`` are what dashboards ask, and ``measure`` asks it.
"""
