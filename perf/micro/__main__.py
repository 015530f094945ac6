"""``python -m perf.micro`` is ``perf/micro/run.py``."""

import sys

from perf.micro.run import main

sys.exit(main())
