"""A simulated machine, for who has no GPUs and for screenshots."""
