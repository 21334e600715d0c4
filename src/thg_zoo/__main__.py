"""`python -m thg_zoo` is the command `thg-zoo`."""

from thg_zoo.cli.main import main

main()
