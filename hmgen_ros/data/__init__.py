"""Readers of the corpora that the generators are trained and measured on."""
