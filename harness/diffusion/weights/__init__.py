"""What fitting changes, and the way back to the base weights."""
