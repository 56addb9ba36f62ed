"""Takes the screenshots of the page and of the terminal for the README, of the simulated machine."""
