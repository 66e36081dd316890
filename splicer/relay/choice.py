"""Whether the C extension is to be used: ``SPLICER_NATIVE`` in the environment."""

from __future__ import annotations

from collections.abc import Mapping

VARIABLE = "SPLICER_NATIVE"


class UnfitChoice(ImportError):
    """The environment asks for a mover that can't be had; the message says what to do."""


def wanted(environ: Mapping[str, str]) -> bool | None:
    """Whether the extension must be used, must not be, or (None) is used if it is there.

    Raises:
        UnfitChoice: the variable has another value than 0, 1 or none.
    """
    value = environ.get(VARIABLE, "")
    if value not in {"", "0", "1"}:
        raise UnfitChoice(f"{VARIABLE}={value!r}: must be 0 (never use the C extension) or 1 (it must be there)")
    return value == "1" if value else None


def missing(error: ImportError) -> UnfitChoice:
    """The fault of an environment that must have the extension, which is not there."""
    return UnfitChoice(
        f"{VARIABLE}=1, but the C extension can't be loaded ({error}); install a wheel for this machine, install from "
        f"source with a C compiler, or unset {VARIABLE}"
    )
