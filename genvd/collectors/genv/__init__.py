"""What genv leaves on disk, and where the genv command is."""
