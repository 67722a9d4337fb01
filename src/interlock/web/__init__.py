"""The HTTP API and pages, by noun."""
