"""`python -m proofglass`: the same commands as `proofglass`."""

from proofglass.cli.main import main

if __name__ == "__main__":
    main()
