"""What a caller may take: requests in a time, and requests open at once; of a user, an API key and a workspace."""

from accounts.limits.admission import admit, admit_socket, policies_of
from accounts.limits.rates import Policy, Rate, Use, check_rate, counting, rate_of, refuse_beyond, used

__all__ = [
    "Policy",
    "Rate",
    "Use",
    "admit",
    "admit_socket",
    "check_rate",
    "counting",
    "policies_of",
    "rate_of",
    "refuse_beyond",
    "used",
]
