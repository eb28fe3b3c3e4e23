"""Networks that score images."""
