"""What can go wrong between a model repository and an answered request."""

from lorair.errors import LorairError


class ServingError(LorairError):
    """A server does not come up, cannot be reached, or refuses a request."""

    exit_code = 7
