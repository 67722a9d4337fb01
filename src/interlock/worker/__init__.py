"""What runs by the clock: each job is a use case and how often it is due."""
