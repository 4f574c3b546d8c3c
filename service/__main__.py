"""`python -m service`: the same command line as `constellation-ws`."""

from service.cli import main

main()
