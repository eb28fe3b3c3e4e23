"""One trial: fit, sample, score."""
