"""What holds whatever the outside gives, tried with what nobody thought of."""
