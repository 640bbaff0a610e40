"""The process that speaks ssh: `python -m paasd.ssh.server CONTROL-FD LISTENER-FD`, started by `paasd.ssh.door`.

It is asyncio, because asyncssh is. It gives up all rights before it reads a byte of a stranger (`rights.py`), asks the
daemon about everything (`daemon.py`), and moves bytes between clients and the descriptors that it is given (`pump.py`).
"""
