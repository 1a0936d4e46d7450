"""Starts the API. From a clone with `requirements.txt` installed it finds the code in ../src; wiring only."""

import importlib.util
import sys
from pathlib import Path

if importlib.util.find_spec("msaas") is None:
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

from msaas.web.__main__ import main

if __name__ == "__main__":
    sys.exit(main())
