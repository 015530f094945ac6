"""``python -m perf`` is ``perf/run.py``."""

import sys

from perf.run import main

sys.exit(main())
