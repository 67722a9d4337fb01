"""Outbound notices: signed webhooks and mail."""
