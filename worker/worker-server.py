"""Starts a worker. From a clone with `requirements.txt` installed it finds the code in ../src; wiring only."""

import importlib.util
import os
import sys
from pathlib import Path

if importlib.util.find_spec("msaas") is None:
    source = str(Path(__file__).resolve().parent.parent / "src")
    sys.path.insert(0, source)
    # The processes it starts (the separation runs apart) have to find the code too.
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [source, os.environ.get("PYTHONPATH")]))

from msaas.worker.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
