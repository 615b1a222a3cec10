"""Workflows: a task as a durable state machine of small steps, each of which is a request on the path."""
