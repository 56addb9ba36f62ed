"""What operators write: monitor.yaml, the web configuration file, and where things are on this machine."""
