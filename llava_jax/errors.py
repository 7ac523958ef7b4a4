"""What ends a program for reasons that are no bugs, and the exit codes it ends with."""

USER_ERROR = 2
SET_ASIDE = 3
LOST_CONTACT = 75  # sysexits.h: a failure that may pass when the same is tried again
INTERRUPTED = 130  # what a shell gives for Ctrl-C
TERMINATED = 143  # and for SIGTERM


class UserError(Exception):
    """Something the user can put right: the message says what is wrong and what to do."""


class Stopped(Exception):
    """A run that was told to stop (SIGTERM) and has saved what it did."""


class SetAside(Exception):
    """A run that came to its end without a part of its input, which it names."""
