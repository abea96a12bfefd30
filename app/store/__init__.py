"""The record: the only speaker of SQL.

Functions take the open `Database` first; each does its own transaction and answers domain objects. Nothing here knows
HTTP, containers or tasks that run. SQLAlchemy's errors leave as `app.domain.errors`.
"""
