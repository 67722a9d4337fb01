"""Inbound enforcement points: wire protocols stop here."""
