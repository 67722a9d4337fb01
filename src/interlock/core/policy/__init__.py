"""The rule language: conditions compiled to closures at load, indexed by tool (A5).

`field` names what a rule can read, `operator` what it can ask, `condition` joins the two, `rule` adds the
verdict and the hours. Nothing here reads a clock, a network or a float. See docs/reference/policy.md.
"""
