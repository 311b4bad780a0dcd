"""``python -m puzzlemix`` is the command ``puzzlemix``."""

import sys

from .demo.cli import main

sys.exit(main())
