"""The rule language: conditions are compiled once, at load, into plain predicates."""
