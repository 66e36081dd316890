"""On an edge's PYTHONPATH, this makes its workers copy with read(2) and write(2) instead of splice(2).

All else is unchanged: the hub's order of steps, the vault, the journal, the adoption. Only the bytes that were read and
not yet written are in a worker's own memory instead of a pipe. A 101 is still sent by splice.
"""

import os
import sys

if {"splicer.worker", "splicer.template"} & set(sys.orig_argv):
    from splicer.relay import pipes, stock

    _splice = os.splice
    _reader: dict[int, int] = {}  # a pipe's write end → its read end
    _memory: dict[int, bytes] = {}  # a pipe's read end → what would be in it

    class _InMemory(pipes.Pipe):
        __slots__ = ()

        def __init__(self) -> None:
            super().__init__()
            _reader[self.write_fd] = self.read_fd
            _memory[self.read_fd] = b""

        def close(self) -> None:
            del _reader[self.write_fd], _memory[self.read_fd]
            super().close()

    def _copy(source: int, sink: int, count: int, *, flags: int) -> int:
        if sink in _reader:
            data = _memory[_reader[sink]] = os.read(source, count)
            return len(data)
        if data := _memory.get(source, b""):
            written = os.write(sink, data)
            _memory[source] = data[written:]
            return written
        return _splice(source, sink, count, flags=flags)

    vars(stock).update(Pipe=_InMemory)  # the pipe stock calls it by this name
    os.splice = _copy  # type: ignore[assignment]  # only the hub uses it, and only in this form
