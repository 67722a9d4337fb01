"""Outbound connections."""
