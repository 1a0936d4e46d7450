"""The files of htdemucs_mini, for tests that load, damage or serve it."""

from pathlib import Path

FOLDER = Path(__file__).parents[3] / "models" / "htdemucs_mini"
WEIGHTS = next(path.name for path in FOLDER.glob("*.th"))
SIGNATURE = WEIGHTS.partition("-")[0]
PARAMETERS = 2_703_636
