"""From a reference to a path: the stages in their order, wired together once."""
