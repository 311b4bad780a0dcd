"""``python -m puzzlemix`` is the command ``puzzlemix``."""

import sys

from .cli import main

sys.exit(main())
