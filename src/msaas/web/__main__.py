"""`python -m msaas.web`."""

import sys

from msaas.web.server import main

sys.exit(main())
