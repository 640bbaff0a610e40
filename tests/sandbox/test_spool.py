"""The spool on disk, written directly: order, limits, and that every lost byte is counted."""

import os
import time
from pathlib import Path

import pytest

from paasd.sandbox.launcher.spool import ERR, HEADER, LOST, OUT, SEGMENT_LIMIT_BYTES, SpoolWriter

from .place import lost_bytes, output, records


def test_records_come_back_in_order_with_stream_and_rising_times(tmp_path: Path) -> None:
    writer = SpoolWriter(str(tmp_path), 1 << 20)
    writer.write(OUT, b"one")
    writer.write(ERR, b"two")
    writer.close()
    found = records(tmp_path)
    assert [(stream, payload) for _at, stream, payload in found] == [(OUT, b"one"), (ERR, b"two")]
    assert found[0][0] <= found[1][0]


def test_segments_are_closed_at_their_limit_and_numbers_go_up(tmp_path: Path) -> None:
    writer = SpoolWriter(str(tmp_path), 16 * SEGMENT_LIMIT_BYTES)
    for _ in range(40):
        writer.write(OUT, bytes(65536))
    writer.close()
    segments = sorted(tmp_path.glob("*.seg"))
    assert [path.name for path in segments] == [f"{n:016d}.seg" for n in range(1, len(segments) + 1)]
    assert all(path.stat().st_size <= SEGMENT_LIMIT_BYTES for path in segments)
    assert len(records(tmp_path)) == 40


def test_a_full_spool_drops_counts_and_tells_when_there_is_room_again(tmp_path: Path) -> None:
    limit = 100_000
    writer = SpoolWriter(str(tmp_path), limit)
    for _ in range(30):
        writer.write(OUT, bytes(10_000))
    assert sum(path.stat().st_size for path in tmp_path.glob("*.seg")) <= limit
    kept = len(records(tmp_path))
    assert kept < 30
    assert lost_bytes(tmp_path) == 0
    first = min(tmp_path.glob("*.seg"))
    consumed = first.stat().st_size // (HEADER.size + 10_000)
    first.unlink()
    time.sleep(0.03)  # so often is looked whether there is room
    writer.write(OUT, b"after")
    writer.close()
    found = records(tmp_path)
    assert [stream for _at, stream, _payload in found[-2:]] == [LOST, OUT]
    assert lost_bytes(tmp_path) == (30 - kept) * 10_000
    assert len([1 for _a, stream, p in found if stream == OUT and len(p) == 10_000]) == kept - consumed


def test_a_loss_at_the_end_is_told_too(tmp_path: Path) -> None:
    writer = SpoolWriter(str(tmp_path), 1000)
    writer.write(OUT, b"a" * 900)
    writer.write(OUT, b"b" * 900)
    writer.close()
    assert lost_bytes(tmp_path) == 900


def test_the_next_writer_goes_on_with_higher_numbers_even_when_all_was_consumed(tmp_path: Path) -> None:
    for text in (b"one", b"two"):
        writer = SpoolWriter(str(tmp_path), 1 << 20)
        writer.write(OUT, text)
        writer.close()
        if text == b"one":
            (tmp_path / f"{1:016d}.seg").unlink()
    assert [path.name for path in tmp_path.glob("*.seg")] == [f"{2:016d}.seg"]
    assert output(tmp_path) == "two"


@pytest.mark.root
def test_a_full_host_disk_loses_output_but_leaves_no_torn_record(tmp_path: Path) -> None:
    os.system(f"mount -t tmpfs -o size=64k none {tmp_path}")
    try:
        writer = SpoolWriter(str(tmp_path), 1 << 20)
        for _ in range(20):
            writer.write(OUT, bytes(10_000))
        assert 0 < len(records(tmp_path)) < 20
        min(tmp_path.glob("*.seg")).unlink()
        writer.write(OUT, b"x")
        writer.close()
        records(tmp_path)
    finally:
        os.system(f"umount -l {tmp_path}")


def test_a_flood_of_what_is_dropped_costs_little(tmp_path: Path) -> None:
    writer = SpoolWriter(str(tmp_path), 1000)
    began, used = time.monotonic(), time.process_time()
    for _ in range(100):
        writer.write(OUT, bytes(65536))
    assert time.process_time() - used < (time.monotonic() - began) / 2
    writer.close()
    assert lost_bytes(tmp_path) == 100 * 65536
