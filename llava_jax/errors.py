"""The one exception that is the user's to mend; launchers print its message and exit with 2."""


class UserError(Exception):
    """Something the user can put right: the message says what is wrong and what to do."""


class Stopped(Exception):
    """A run that was told to stop (SIGTERM) and has saved what it did."""
