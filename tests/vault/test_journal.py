from __future__ import annotations

import os

import pytest

from splicer.vault.journal import PLACES, Journal, JournalReader


def test_another_process_reads_what_one_has_written() -> None:
    mine = Journal()
    other = JournalReader(os.dup(mine.fd))
    mine.words[0] = 2**64 - 1
    mine.words[PLACES - 1] = 6
    assert (other.word(0), other.word(1), other.word(PLACES - 1), len(mine.words)) == (2**64 - 1, 0, 6, PLACES)
    mine.close()
    assert other.word(PLACES - 1) == 6  # its writer may be dead
    other.close()


@pytest.mark.parametrize("size", [0, 8 * PLACES - 1, 8 * PLACES + 1])
def test_nobody_can_change_its_size(size: int) -> None:
    journal = Journal()
    with pytest.raises(PermissionError):
        os.ftruncate(journal.fd, size)
    journal.words[PLACES - 1] = 6
    journal.close()


def test_one_that_has_become_shorter_says_nothing() -> None:
    fd = os.memfd_create("of the version before")
    os.ftruncate(fd, PLACES * 8)
    journal = JournalReader(fd)
    os.pwrite(fd, b"\xff" * 8, 8)
    assert journal.word(1) == 2**64 - 1
    os.ftruncate(fd, 8)
    assert journal.word(1) == 0
    journal.close()


def test_what_is_no_journal_is_closed() -> None:
    with pytest.raises(ValueError, match="length"):
        JournalReader(os.memfd_create("short"))


# To read from what is no memory may take for ever.
def test_what_is_no_shared_memory_is_closed() -> None:
    read, write = os.pipe()
    os.close(write)
    with pytest.raises(OSError, match="Invalid"):
        JournalReader(read)
