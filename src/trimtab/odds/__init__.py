"""Odds: how likely a model is right, from the question alone and from what it wrote."""
