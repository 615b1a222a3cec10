"""The training side: how the shipped weights are made."""
