"""The door for ssh: developers get into the instances of their apps.

`server/` is a process without any rights that speaks ssh to strangers; it starts with the first connection and ends
when it has been idle. `door.py` holds the listening socket and that process, `desk.py` answers it: who may come in, and
descriptors of programs in instances. `distance.py` reaches instances of other nodes.
Nothing is imported here, because the process without rights imports this package too.
"""
