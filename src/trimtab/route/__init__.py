"""Routers: from a request to the ladder of models that may answer it."""
