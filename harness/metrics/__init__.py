"""What is measured, and the networks that measure it."""
