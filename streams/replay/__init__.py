"""Replay: having a group process records again, from an offset or a time."""
