"""What each kind of encoder says of itself, one light module each; the networks are one room up."""
