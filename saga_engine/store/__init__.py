"""Rows of the engine's own database."""
