"""What fitting changes, and the way back to the pretrained weights."""
