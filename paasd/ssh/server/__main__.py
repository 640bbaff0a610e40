"""Started by the daemon with two descriptors: its control socket and the listening socket."""

import sys

from paasd.ssh.server.main import main

main(int(sys.argv[1]), int(sys.argv[2]))
