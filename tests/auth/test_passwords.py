"""Hashing: right, wrong, absent, and never more at once than configured."""

import threading

import trio

from paasd.auth.passwords import Passwords
from paasd.config import AuthConfig

CHEAP = AuthConfig(hash_memory_kib=64, hash_time_cost=1)


async def test_only_the_password_itself_is_right() -> None:
    passwords = Passwords(CHEAP)
    stored = await passwords.hash("correct horse")
    assert stored.startswith("$argon2id$")
    assert await passwords.verify(stored, "correct horse")
    assert not await passwords.verify(stored, "correct horse ")
    assert not await passwords.verify(None, "correct horse")
    assert not await passwords.verify("not a hash", "correct horse")


async def test_equal_passwords_have_unequal_hashes() -> None:
    passwords = Passwords(CHEAP)
    assert await passwords.hash("a") != await passwords.hash("a")


async def test_no_more_hashes_run_at_once_than_configured() -> None:
    passwords = Passwords(CHEAP)
    lock, running, most = threading.Lock(), 0, 0

    def work() -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.02)
        with lock:
            running -= 1

    async with trio.open_nursery() as nursery:
        for _ in range(8):
            nursery.start_soon(passwords._run, work)
    assert most == CHEAP.hash_parallel == 2
