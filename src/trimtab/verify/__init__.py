"""Verifiers: judges of a finished answer."""
