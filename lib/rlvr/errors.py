"""The one exception whose message is meant for the person at the keyboard."""


class UserError(ValueError):
    """A mistake in the input that the message explains: what is wrong, where, and what is allowed.

    Job logs end with this message instead of a traceback.
    """
