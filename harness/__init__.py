"""Benchmark and experiment harness for few-shot personalization of text-to-image diffusion models."""

__version__ = "0.1.0"
