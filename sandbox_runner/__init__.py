"""Containers for untrusted work: start, relay, freeze, kill, prove.

This package knows containers. It must not know the web, SQL, runs or users: it could be published alone.
"""
