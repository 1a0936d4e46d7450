#!/usr/bin/env python3
"""Posts songs to an installation in a cluster, does one fault at a time, and counts what becomes of the songs.

Needs Python 3.11 and kubectl, no other package. Prints a table in Markdown. Ends with 1 if a song was lost: if it does
not have four whole stems within the limit. Calls that are refused or not answered are repeated every second.

    deploy/tools/cluster-drill.py --context kind-home --namespace msaas
    deploy/tools/cluster-drill.py --context … --faults workers-killed,drain --url https://msaas.example.com

Without --url it goes through `kubectl port-forward`, which breaks when its pod ends: such calls count as `no answer`.
MSAAS_API_KEY is the key, where the installation wants one.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from deploy.tools.drill.program import main

if __name__ == "__main__":
    sys.exit(main())
