"""Measures what a machine costs Prometheus: series and bytes for each GPU, environment, process and user, and disk.

``python -m tools.scaling`` writes the tables of docs/scaling.md; ``make docs-check`` compares them with the code.
"""
