"""What a forked process does before it runs its program: it drops what is the template's."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from random import Random

from splicer.template.descriptors import take
from splicer.template.randomness import renew
from splicer.template.serve import Birth


def become(birth: Birth, generators: Iterable[Random]) -> None:
    """Have the descriptors, the random state and the command line of a process that was started by exec.

    Args:
        birth: what it was forked for.
        generators: see `randomness.sources`.
    """
    take(birth.fds, birth.order.numbers)
    renew(generators)
    sys.argv[1:] = birth.order.words
