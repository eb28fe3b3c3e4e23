"""Toybox's procedural world and its renderer."""
