#!/usr/bin/env python3
"""Makes the Helm chart from the kustomize base and components: `make chart`.

Each component is rendered on the base alone; what it adds or changes is put into the template of its object behind the
component's condition. Nothing is written twice, and tests/deploy/test_chart.py holds what Helm renders against what
kustomize renders. Needs kubectl, and Helm for --package.

    deploy/tools/make-chart.py --out build/chart [--package] [--registry ghcr.io/somebody]
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from deploy.tools.chart.program import main

if __name__ == "__main__":
    sys.exit(main())
