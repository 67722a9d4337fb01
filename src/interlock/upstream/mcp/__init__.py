"""Pooled, long-lived clients of MCP tool servers."""
