"""Whether methods differ, and by how much: pure functions over one number per subject."""
