"""The demonstration: one agent program, two real tool servers, each promise shown and checked.

It drives the shipped command line as a person would, in processes of its own, and believes no answer of
Interlock's that the git repository, the help desk's file or the exported audit log does not confirm.
"""
