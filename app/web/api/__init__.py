"""Handlers for programs, below /api/v1, one module per noun: the same functions as the pages, answers in JSON."""
