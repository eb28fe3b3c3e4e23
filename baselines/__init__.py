"""Personalization methods, one file each: a frozen dataclass of hyperparameters and one verb, ``fit``."""
