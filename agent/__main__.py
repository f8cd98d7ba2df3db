"""`python -m errata.agent` is `errata`."""

import sys

from errata.agent.cli.main import main

sys.exit(main())
