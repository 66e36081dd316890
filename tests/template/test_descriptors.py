"""The descriptors of a forked process."""

from __future__ import annotations

import gc
import os
from contextlib import suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from splicer.template.descriptors import take
from tests.kit.laws import examples
from tests.template.stand import Stand

_FIRST = 40  # the number of the first descriptor


def _in_a_child(count: int, numbers: list[int]) -> int:
    """0: it is as it should be."""
    pid = os.fork()
    if pid == 0:
        code = 1
        with suppress(BaseException):
            gc.disable()  # what it frees in this process may close one of these numbers
            fds = list(range(_FIRST, _FIRST + count))
            for fd in fds:
                os.dup2(os.memfd_create("file"), fd, inheritable=False)
            files = [os.fstat(fd).st_ino for fd in fds]
            standard = [os.fstat(fd).st_ino for fd in (0, 1, 2)]
            take(fds, numbers)
            left = {int(entry.name) for entry in Path("/proc/self/fd").iterdir() if os.path.lexists(entry)}
            kept = all(os.fstat(fd).st_ino == ino for fd, ino in enumerate(standard) if fd not in numbers)
            right = [os.fstat(number).st_ino for number in numbers] == files
            closed = all(os.get_inheritable(number) == (number < 3) for number in numbers)
            code = 0 if kept and right and closed and left - {0, 1, 2, *numbers} == set() else 2
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


_NUMBERS = st.lists(st.sampled_from([0, 1, 3, 4, 5, *range(_FIRST - 2, _FIRST + 8)]), max_size=6, unique=True)


@settings(max_examples=examples(60), deadline=None)
@given(_NUMBERS)
def test_each_gets_its_number_and_no_other_stays(numbers: list[int]) -> None:
    """Whatever the numbers: those of others, each other's, or those of standard input and output."""
    assert _in_a_child(len(numbers), numbers) == 0


def test_a_process_has_only_what_it_was_given(template: Stand) -> None:
    zero, other = os.open("/dev/zero", os.O_RDONLY), os.open("/dev/full", os.O_RDONLY)
    _, told = template.fork([zero])
    assert told["fds"] == sorted([0, 1, 2, zero, told["answer"]])
    assert told["given"] == {str(zero): "/dev/zero"}
    assert told["inheritable"] == [False]
    os.close(zero)
    os.close(other)
