"""What Kapman promises, measured: one module per benchmark, each against a named peer or limit in the same run."""
