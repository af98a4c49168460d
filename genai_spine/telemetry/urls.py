"""URLs as they may be shown: without what lets somebody in."""

import re

# To the last @: a password may hold a slash, which no parser would find.
USER = re.compile(r"(?<=://)\S*@")
SECRETS = re.compile(r"([?&][^=&]*(?:password|passwd|secret|token|key|sig)[^=&]*=)[^&#]*", re.IGNORECASE)


def shown(url: str) -> str:
    """URL with *** for user and password, and for parameters that are secrets by their name."""
    return SECRETS.sub(r"\1***", USER.sub("***@", url))
