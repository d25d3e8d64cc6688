"""``python -m scailookup`` is the ``scailookup`` command."""

from scailookup.cli import main

if __name__ == "__main__":
    main()
