"""The commands about the embedded benchmark."""
