"""What a process gives back, and that it loses nothing of it."""

from __future__ import annotations

import subprocess
import sys

from splicer.ipc.memory import clean_pages

_HEADER = "{0}-{1} {2} 00000000 fe:00 1234 {3}\n"
_CHILD = """
import hashlib, ssl
from pathlib import Path
from splicer.ipc.memory import give_back

def of_files():
    text = Path("/proc/self/smaps").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Rss:")) - of_none()

def of_none():
    text = Path("/proc/self/smaps").read_text()
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Anonymous:"))

before = of_files()
large = [bytes(100_000) for _ in range(100)]  # too small for a mapping of its own
del large[:-1]
give_back()
print(before - of_files(), of_none())
context = ssl.create_default_context()
print(hashlib.sha256(b"").hexdigest()[:8], context.get_ciphers() != [])
"""


def _mapping(rights: str, path: str, anonymous: int) -> list[str]:
    fields = ["Size:  132 kB", "Rss: 100 kB", f"Anonymous:  {anonymous} kB", "VmFlags: rd mr mw me"]
    return [_HEADER.format("7f00000000", "7f00021000", rights, path), *(f"{field}\n" for field in fields)]


def test_only_files_to_which_nobody_has_written_or_can_write() -> None:
    clean = (0x7F00000000, 0x7F00021000)
    for rights in ("r--p", "r-xp"):
        assert list(clean_pages(_mapping(rights, "/usr/lib/libssl.so.3", 0))) == [clean]
        assert list(clean_pages(_mapping(rights, "/usr/lib/with spaces.so", 0))) == [clean]
        assert list(clean_pages(_mapping(rights, "/usr/lib/libssl.so.3", 4))) == [], "its relocations (RELRO)"
        for other in ("", "[vdso]", "[stack]"):
            assert list(clean_pages(_mapping(rights, other, 0))) == []
    for rights in ("rw-p", "rw-s", "rwxp", "r--s", "---p"):
        assert list(clean_pages(_mapping(rights, "/usr/lib/libssl.so.3", 0))) == []
    two = _mapping("r-xp", "/usr/lib/libssl.so.3", 0) + _mapping("rw-p", "/usr/lib/libssl.so.3", 0)
    assert list(clean_pages(two)) == [clean]


def test_a_process_has_less_memory_and_all_of_its_libraries_work() -> None:
    ran = subprocess.run([sys.executable, "-c", _CHILD], capture_output=True, text=True, check=True)
    given, left, digest, ciphers = ran.stdout.split()
    assert int(given) > 2000  # KiB
    assert int(left) < 15_000, "the large blocks are the kernel's again"
    assert (digest, ciphers) == ("e3b0c442", "True")
