"""The enforcement point inside an agent's own program: govern plain functions, with or without a server."""
