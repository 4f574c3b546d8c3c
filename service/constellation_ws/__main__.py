"""`python -m constellation_ws`: the same command line as `constellation-ws`."""

from constellation_ws.cli.main import main

main()
