"""Puts gen/ on the path: the generated modules import each other by their paths below it."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "gen"))
