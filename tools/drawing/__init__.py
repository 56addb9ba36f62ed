"""Draws a dashboard as a picture from the answers of a real Prometheus, where there is no Grafana.

``python -m tools.drawing`` writes docs/images/home-dashboard.png. answers asks Prometheus what Grafana would ask;
panels, tables and curves make HTML of the answers, in the place and size that the dashboard gives each panel; units
writes numbers. Grafana itself looks different in detail.
"""
