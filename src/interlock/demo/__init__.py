"""The demonstration: one agent program, two real tool servers, every promise shown and checked from outside."""
