"""Retrievers: from a request to passages with their sources."""
