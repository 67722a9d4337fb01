"""The declared documents: parse, validate with positions, diff, JSON Schema."""
