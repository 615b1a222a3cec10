"""The house encoder: one small model whose one pass feeds every decision."""
