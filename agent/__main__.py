"""`python -m agent` is `errata`."""

import sys

from agent.cli.main import main

sys.exit(main())
