"""Training of the generators, from a corpus on disk to weights with their card."""
