"""Why a lookup answers as it does for one caller, step by step: the service's own code, watched."""

from scailookup.explain.explainer import WHOLE_ROLES, Explainer
from scailookup.explain.steps import NAMES, Asked, Step, rest, worst
from scailookup.explain.who import token_refused

__all__ = ["NAMES", "WHOLE_ROLES", "Asked", "Explainer", "Step", "rest", "token_refused", "worst"]
