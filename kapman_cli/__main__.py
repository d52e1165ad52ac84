"""`python -m kapman_cli`: what the `kapman` script starts."""

from kapman_cli.main import main

if __name__ == "__main__":
    main()
