"""Set money aside for one attempt at a model call, and turn it into what the attempt cost (B1, B2, B8)."""
