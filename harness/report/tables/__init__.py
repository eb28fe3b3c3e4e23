"""Records as tables: Markdown, LaTeX, CSV."""
