"""The declared documents as values (DESIGN.md, "The manifest"), after parsing and normalising.

Durations are seconds, money is nano-dollars, prices are pico-dollars per token, shares are basis points, a
budget's thresholds per mille. A document without an environment applies to all.
"""
