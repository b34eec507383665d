"""Dead letters: what a group gave up, looked at without joining it."""
