"""Recorders: what is kept of every request."""
