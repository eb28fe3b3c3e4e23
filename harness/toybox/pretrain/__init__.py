"""Pretraining of the embedded benchmark's networks, stage by stage."""
