"""`python -m klad.cli`: the same as `klad`."""

import sys

from klad.cli import main

sys.exit(main())
