"""Programs to read and to run; nothing in `streams` imports them."""
