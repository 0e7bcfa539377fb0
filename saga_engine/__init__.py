"""A durable saga engine: define a saga, run it, and it finishes or undoes what it did."""
