"""Started by the daemon with two descriptors: its control socket and the listening socket."""

import sys

from paasd.ssh.server.main import main

if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
