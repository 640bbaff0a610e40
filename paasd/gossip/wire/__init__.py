"""What goes over the network: typed and capped messages, sealed datagrams, and the guard against replays and garbage.

Pure: bytes in, records out.
"""
