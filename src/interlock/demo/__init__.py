"""The demonstration: two agent programs, two real tool servers, a scripted model, each promise checked.

It drives the shipped command line as a person would, in processes of its own, and believes no answer of
Interlock's that the git repository, the help desk's file, the audit log, the agent's own replies or a
receiver of signed webhooks does not confirm.
"""
