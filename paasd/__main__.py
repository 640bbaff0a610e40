"""`python -m paasd` is `paasd`."""

from paasd.cli import main

main()
