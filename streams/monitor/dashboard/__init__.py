"""The dashboard: what every group is doing, as pages, and the repair of dead letters from there.

One thread, the *watch*, asks the broker and keeps bounded rings of what it
saw; pages are drawn from that, and read what is about a single record
themselves.  Nothing is stored: it can be stopped and started anywhere.
Starlette and uvicorn are imported in this room only.
"""
