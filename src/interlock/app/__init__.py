"""The composition root: settings in, a served application out. The only place that builds things."""
