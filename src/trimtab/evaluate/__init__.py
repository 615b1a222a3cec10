"""Measuring: the peer that benchmarks and tests talk to, and the runs over it."""
