"""The fault of a single document: it is told, and the others go on."""


class UnreadableError(Exception):
    """This file is left out; the message says why and what to do."""
