"""``python -m splicer`` is the ``splicer`` command."""

from splicer.cli import main

if __name__ == "__main__":
    main()
