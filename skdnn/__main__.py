"""``python -m skdnn`` is the ``skdnn`` command."""

from skdnn.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
