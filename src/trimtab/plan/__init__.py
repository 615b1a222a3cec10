"""Planning: what models cost and need, from tables that name their sources."""
