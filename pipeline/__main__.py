"""`python -m pipeline`."""

import sys
from pathlib import Path

# Otherwise the current directory comes first, and a module there, such as schemas.py, would hide our package.
sys.path.insert(0, str(Path(__file__).parents[1]))

from pipeline.cli import main

if __name__ == "__main__":
    main()
