"""What went wrong on the user's side, in words the user can act on."""


class AssayError(Exception):
    """A mistake of input, with cause and remedy in one or two sentences.

    The command line prints the message without a traceback and exits with code 2.
    """


class DocumentError(AssayError):
    """A document that cannot be read: missing, encrypted, truncated, too large, without text."""
