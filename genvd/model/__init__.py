"""What is known of the machine: frozen dataclasses that collectors fill and all others read."""
