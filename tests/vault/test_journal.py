from __future__ import annotations

import os

import pytest

from splicer.vault.journal import PLACES, Journal


def test_another_process_reads_what_one_has_written() -> None:
    mine = Journal()
    other = Journal(os.dup(mine.fd))
    mine.words[0] = 2**64 - 1
    mine.words[PLACES - 1] = 6
    assert (other.words[0], other.words[1], other.words[PLACES - 1], len(other.words)) == (2**64 - 1, 0, 6, PLACES)
    mine.close()
    assert other.words[PLACES - 1] == 6  # its writer may be dead
    other.close()


def test_what_is_no_journal_is_closed() -> None:
    with pytest.raises(ValueError, match="length"):
        Journal(os.memfd_create("short"))


def test_what_cannot_be_mapped_is_closed() -> None:
    read, write = os.pipe()
    os.close(write)
    with pytest.raises((OSError, ValueError)):
        Journal(read)
