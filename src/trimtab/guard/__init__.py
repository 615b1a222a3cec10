"""Guards: judges of the request, of the retrieved evidence and of the answer."""
