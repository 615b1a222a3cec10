"""Approvers: whether a person must see an answer before it is released."""
