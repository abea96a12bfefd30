"""Handlers for people, one module per noun: read, make the context, answer."""
