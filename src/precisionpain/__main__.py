"""``python -m precisionpain`` is the command ``precisionpain``."""

import sys

from .cli import main

sys.exit(main())
