"""From the facts of all collectors to one Snapshot: who owns, who works, what is idle, what is wrong."""
