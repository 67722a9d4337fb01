"""The rules: pure functions from values to values. No I/O, no clock, no chance; the standard library only."""
