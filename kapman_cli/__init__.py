"""The `kapman` command. Does not belong here: anything another program would want to call."""
