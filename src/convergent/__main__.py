"""`python -m convergent` is `convergent`."""

from .cli import main

if __name__ == "__main__":
    main()
