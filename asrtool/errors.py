"""The one exception for what a user can mend."""


class AsrtoolError(Exception):
    """One line that names the file, the utterance and the mend; the command line prints it and exits with 1."""
