"""stdout of a person at a terminal."""


class OutputOfAPerson:
    """A stream that is one."""

    def __init__(self, inner):
        self._inner = inner

    def isatty(self):
        return True

    def __getattr__(self, name):
        return getattr(self._inner, name)
