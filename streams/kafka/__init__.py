"""The only room that imports the client library."""
