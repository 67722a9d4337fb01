"""`python -m interlock.cli`: the command where its script is not on the path."""

from interlock.cli.begin import main

main()
