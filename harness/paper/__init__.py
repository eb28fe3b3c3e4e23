"""The paper, artefact by artefact: what arXiv 2505.19519 published beside what was measured here."""
