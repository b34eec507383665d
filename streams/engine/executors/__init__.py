"""Where handlers run: on the poll thread, in threads, on an event loop; one executor a route."""
