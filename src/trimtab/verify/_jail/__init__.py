"""What runs untrusted programs: a process of its own, of the standard library alone (see `__main__`)."""
