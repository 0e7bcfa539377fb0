"""Drawings of a saga, one file for each form."""
