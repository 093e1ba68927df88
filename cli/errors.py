"""The one error that commands end with."""


class CliError(Exception):
    """Something the user asked for cannot be done; the message says what is wrong and what to do. Exit status 2."""
