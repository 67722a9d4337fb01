"""The command line, by noun. Every command is a client of the HTTP API."""
