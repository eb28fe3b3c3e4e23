"""The command line: composes the other rooms."""
