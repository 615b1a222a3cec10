"""Trimtab answers every request with the smallest model that can be trusted with it, and escalates the rest."""

__version__ = "0.1.0"
