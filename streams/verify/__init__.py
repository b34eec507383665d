"""Checks the promise on a user's own app: keyed load, real members, faults from a seed, and what became of each record.

Who judges shares no code with what is judged: nothing here imports the engine.
"""
