"""The one exception for what a user can mend."""

import re

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_LONG = re.compile(r"\S{500,}")
_LONGEST = 1000


class AsrtoolError(Exception):
    """One line that names the file, the utterance and the mend; the command line prints it and exits with 1.

    What damaged files bring into the message is escaped (line ends, and control characters that a terminal would obey) and cut.
    """

    def __init__(self, message: str) -> None:
        escaped = _CONTROL.sub(lambda found: repr(found[0])[1:-1], message)
        short = _LONG.sub(lambda found: f"{found[0][:300]}...{found[0][-50:]}", escaped)
        super().__init__(short if len(short) <= _LONGEST else f"{short[:700]}...{short[-200:]}")
