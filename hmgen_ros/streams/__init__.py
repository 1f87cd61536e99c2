"""What comes in: cameras, microphones and files, their stamps, and the one 25 Hz clock."""
