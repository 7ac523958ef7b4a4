"""What ends a program for reasons that are no bugs; launching.py gives each its exit code."""


class UserError(Exception):
    """Something the user can put right: the message says what is wrong and what to do."""


class Stopped(Exception):
    """A run that was told to stop (SIGTERM) and has saved what it did."""


class SetAside(Exception):
    """A run that came to its end without a part of its input, which it names."""
