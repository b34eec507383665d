"""How fast the engine is, as a ratio to the bare client, and whether it keeps its promise at that speed.

Every run is a process of its own (`worker`), told by a `Task` and answering
with an `Outcome`.  `race` has them run in turn with the control, so that a
machine whose speed drifts does the same to both.
"""
