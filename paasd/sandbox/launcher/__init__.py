"""What starts and holds the processes of containers: zygote, shim, pid 1.

These files run in processes of their own, started by a fresh exec under `python -I -S`, so that they hold no secret and
little memory. They import the standard library and each other (relatively: there the package is called `launcher`),
nothing else of paasd. The daemon talks to them over Unix sockets and reads the files they leave.
"""
