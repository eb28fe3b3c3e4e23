"""The experiment file, checked."""
