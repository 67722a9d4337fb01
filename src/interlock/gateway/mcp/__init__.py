"""The MCP gateway: one governed front for many tool servers."""
