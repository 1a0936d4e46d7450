"""`python -m msaas.cli`."""

import sys

from msaas.cli import main

sys.exit(main())
