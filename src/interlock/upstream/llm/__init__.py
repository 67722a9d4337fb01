"""Outbound calls to model providers: bodies, streams and their usage, and the one HTTP client."""
