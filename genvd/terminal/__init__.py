"""The machine at a glance for who sits at a terminal."""
