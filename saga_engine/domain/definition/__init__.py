"""How a saga is written down: values, a fluent table, typed functions."""
