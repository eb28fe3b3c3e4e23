"""The embedded benchmark: a procedural world of 3-D objects whose ground truth is known."""
