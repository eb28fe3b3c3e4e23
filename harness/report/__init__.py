"""Tables and figures, from records alone. Imports no torch."""
