"""Generators: what people will do next and how heads will move, one step at 25 Hz or whole sequences."""
