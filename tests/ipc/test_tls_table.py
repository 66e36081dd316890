"""The TLS table: what workers read of it, also when its writer is dead."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from splicer.ipc import tls_table
from splicer.ipc.board import ROWS
from splicer.ipc.tls_table import (
    ENTRIES,
    WORDS,
    WRITING,
    End,
    OwnRow,
    ProcessWord,
    TlsTable,
    Wish,
    Word,
    line_word,
    make_tls_memory,
)
from splicer.quality import Quality
from splicer.tls_facts import TlsFacts


@pytest.fixture
def table() -> Iterator[TlsTable]:
    fd = make_tls_memory()
    yield TlsTable(fd)
    os.close(fd)


def facts(row: int, entry: int, serial: int) -> TlsFacts:
    return TlsFacts("TLSv1.3", "a cipher", row=row, entry=entry, serial=serial)


def test_it_has_a_row_for_each_process() -> None:
    assert tls_table.ROWS == ROWS


def test_what_a_process_writes_is_what_a_worker_reads(table: TlsTable) -> None:
    own = OwnRow(table.row(7))
    claimed = own.claim()
    assert claimed is not None
    entry, base = table.entry(facts(7, *claimed)), claimed[0] * WORDS
    assert (entry.is_ours, entry.has_ended, entry.received, entry.quality()) == (True, False, 0, None)
    assert entry.end == "tls_lost"  # an end that it has not said
    own.words[base + Word.RECEIVED] = 160
    own.words[base + Word.LINE] = line_word(20_000, 3)
    assert (entry.received, entry.quality()) == (160, Quality(0.02, 3))
    assert entry.silent is not None
    assert entry.silent < 60
    for end in (End.EOF, End.RESET, End.TIMED_OUT, End.TLS_ERROR):
        own.words[base + Word.END] = end
        assert (entry.has_ended, entry.end) == (True, end.name.lower())
    entry.wish_reset()
    assert own.words[base + Word.WISH] == Wish.RESET
    entry.wish_close()
    assert own.words[base + Word.WISH] == Wish.CLOSE


def test_the_next_process_of_a_row_takes_nobodys_word(table: TlsTable) -> None:
    first = OwnRow(table.row(7))
    claimed = first.claim()
    assert claimed is not None
    first.words[claimed[0] * WORDS + Word.END] = End.EOF
    entry = table.entry(facts(7, *claimed))
    assert entry.end == "eof"  # it has said so before its death
    second = OwnRow(table.row(7))
    again = second.claim()
    assert again is not None
    assert (again[0], again[1] > claimed[1]) == (claimed[0], True)
    second.words[again[0] * WORDS + Word.END] = End.RESET
    entry.wish_reset()
    assert (entry.is_ours, entry.end, entry.received, entry.silent, entry.quality()) == (
        False,
        "tls_lost",
        None,
        None,
        None,
    )
    assert second.words[again[0] * WORDS + Word.WISH] == Wish.NONE


def test_entries_are_used_again_as_late_as_possible(table: TlsTable) -> None:
    own = OwnRow(table.row(1))
    for number in range(1, 10):
        claimed = own.claim()
        assert claimed is not None
        assert claimed[0] == number
        own.release(number)
    assert own.words[ProcessWord.CONNECTIONS] == 0
    own._unused = ENTRIES  # all have been used once
    assert [own.claim()[0] for _ in range(9)] == list(range(1, 10))  # type: ignore[index]
    assert own.claim() is None
    assert own.words[ProcessWord.CONNECTIONS] == 9


@pytest.mark.parametrize(("row", "entry"), [(-1, 1), (ROWS, 1), (1, 0), (1, ENTRIES)])
def test_what_can_not_be_is_refused(table: TlsTable, row: int, entry: int) -> None:
    with pytest.raises(ValueError, match="no "):
        table.entry(facts(row, entry, 1))


def test_a_write_under_way_is_awaited_but_not_for_ever(table: TlsTable) -> None:
    own = OwnRow(table.row(0))
    claimed = own.claim()
    assert claimed is not None
    entry, base = table.entry(facts(0, *claimed)), claimed[0] * WORDS
    own.words[base + Word.RECEIVED] = 160 | WRITING
    assert entry.received == 160
