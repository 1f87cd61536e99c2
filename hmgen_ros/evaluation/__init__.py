"""Measures of how good forecasts are, on data that no generator was trained on."""
