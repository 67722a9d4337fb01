"""Use cases, named by verbs. Each opens its own transaction; none calls another."""
