"""Pages, streams and the API: the only speaker of HTTP and HTML.

Reads the store directly, changes runs only through the supervisor. Nothing here decides what a run may do.
"""
