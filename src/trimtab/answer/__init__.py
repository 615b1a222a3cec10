"""Models: everything that can answer, from deterministic code to a large model."""
