"""`python -m agent` is `errata`."""

import sys

from agent.cli import main

sys.exit(main())
