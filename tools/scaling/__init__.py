"""What a machine costs a Prometheus: series and bytes for each device, environment, process and user, and disk.

``python -m tools.scaling`` measures and writes the tables of docs/scaling.md; a test holds them to what the code does.
"""
