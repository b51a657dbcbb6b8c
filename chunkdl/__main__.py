"""``python -m chunkdl`` is ``chunkdl``."""

import sys

from chunkdl.cli.main import main

sys.exit(main())
