"""What a run may spend."""

import math


class Budget:
    """A cap on money that holds: nothing is sent whose highest price might pass it.

    spent: in usd; give what earlier runs spent (AnswerStore.usd) to cap them together. It includes
      the highest price of requests that broke off, which the endpoint may have charged.
    exhausted: something was not sent for want of money.

    The cap can be passed only by an endpoint that counts more tokens than were sent and allowed.
    """

    def __init__(self, max_usd: float = math.inf, spent: float = 0.0):
        self.max_usd = max_usd
        self.spent = spent
        self.exhausted = False
        self._reserved = 0.0
        self._open = 0

    def reserve(self, usd: float) -> bool:
        """Sets money aside; False if it does not fit, now or (`exhausted`) ever."""
        if self.exhausted or self.spent + self._reserved + usd > self.max_usd:
            # Those that run cost less than what is set aside for them: there may be room later.
            self.exhausted = self.exhausted or self._open == 0
            return False
        self._reserved += usd
        self._open += 1
        return True

    def settle(self, reserved: float, spent: float) -> None:
        """Gives back what was set aside for a request, less what it cost."""
        self.spent += spent
        self._open -= 1
        self._reserved = self._reserved - reserved if self._open else 0.0  # no rounding stays
