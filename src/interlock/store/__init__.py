"""State: one file per aggregate. Store functions take a transaction and never commit."""
