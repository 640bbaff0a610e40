"""Programs that take what they can get for `lasting_s` seconds; `address` is out on the internet."""

_END = "import threading, time\nend = time.monotonic() + lasting_s\n"
HOGS = {
    "processor": """
for _ in range(8):
    if os.fork() == 0:
        while time.monotonic() < end:
            pass
        os._exit(0)
while time.monotonic() < end:
    pass
""",
    "processes": """
while time.monotonic() < end:
    try:
        if os.fork() == 0:
            time.sleep(0.05)
            os._exit(0)
    except OSError:
        tried(os.waitpid, -1, os.WNOHANG)
""",
    "memory": """
held = []
while time.monotonic() < end:
    held.append(bytearray(os.urandom(4096) * 256))
""",
    "disk": """
block = os.urandom(1 << 20)
while time.monotonic() < end:
    with open("/tmp/hog", "wb", buffering=0) as file:
        for _ in range(40):
            if tried(file.write, block) != "ok" or time.monotonic() > end:
                break
        tried(os.fsync, file.fileno())
tried(os.remove, "/tmp/hog")
""",
    "files": """
number = 0
while time.monotonic() < end:
    number += 1
    tried(os.mkdir, f"/tmp/{number}")
import shutil
for name in os.listdir("/tmp"):
    if name.isdigit():
        shutil.rmtree("/tmp/" + name, ignore_errors=True)
""",
    "packets": """
sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(32)]
while time.monotonic() < end:
    for port, sock in enumerate(sockets):
        tried(sock.sendto, b"x" * 1400, (address, 9 + port))
""",
    "connections": """
held = []
while time.monotonic() < end:
    sock = socket.socket()
    sock.setblocking(False)
    sock.connect_ex((address, 9))
    held.append(sock)
    if len(held) > 200:
        held.pop(0).close()
""",
    "look-ups": """
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
number = 0
while time.monotonic() < end:
    number += 1
    name = f"n{number}".encode()
    question = bytes([len(name)]) + name + b"\\x07example\\x03org\\0\\0\\x01\\0\\x01"
    head = (number % 65536).to_bytes(2, "big") + b"\\1\\0\\0\\1\\0\\0\\0\\0\\0\\0"
    tried(sock.sendto, head + question, ("169.254.1.1", 53))
""",
    "output": """
line = b"x" * 200 + b"\\n"
while time.monotonic() < end:
    os.write(1, line * 300)
    os.write(2, line)
""",
    "descriptors": """
held = []
while time.monotonic() < end:
    for make in (lambda: os.open("/dev/null", os.O_RDONLY), lambda: libc.inotify_init1(0), lambda: os.pipe()[0]):
        if tried(lambda: held.append(make())) != "ok":
            for fd in held:
                tried(os.close, fd)
            held.clear()
""",
}
HOGS = {name: _END + code for name, code in HOGS.items()}
