"""Subjects with photos and prompts."""
