"""The one exception that is the user's to mend; launchers print its message and exit with 2."""


class UserError(Exception):
    """Something the user can put right: the message says what is wrong and what to do."""
