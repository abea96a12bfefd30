"""The only writer of run state: takes runs from the queue, plays each from start to verified end, stops them.

Nothing here speaks SQL, HTTP or Docker. Every task has an owner and a name. The stop path waits for no database.
"""
