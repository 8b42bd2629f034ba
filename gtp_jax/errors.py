"""The one exception for what a user can put right."""


class UserError(Exception):
    """Something outside the program is wrong; the message is one line that says what, and what to do.

    Command-line programs print it and exit with status 2, without a traceback.
    """
