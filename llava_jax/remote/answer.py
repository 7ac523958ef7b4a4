"""What came back for a prompt, or why nothing did."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Answer:
    """The answer to the prompt of this key.

    text: as the endpoint sent it; "" if there is none.
    finish_reason: the endpoint's word, as "stop", "length" or "content_filter".
    prompt_tokens, answer_tokens: as the endpoint counts them; 0 where it does not say.
    usd: what it cost; the most it can have cost where the endpoint does not count tokens.
    model: the name that the endpoint gives itself, often with a version.
    problem: "" for an answer that can be used; else a class and words, as
      "unreachable: connection refused".
    kept: it lay in the store, and was paid by an earlier request.
    """

    key: str
    text: str = ""
    finish_reason: str = ""
    prompt_tokens: int = 0
    answer_tokens: int = 0
    usd: float = 0.0
    model: str = ""
    problem: str = ""
    kept: bool = False

    @property
    def cut_off(self) -> bool:
        return self.finish_reason == "length"

    def judged(self) -> "Answer":
        """The same with the problem that its text and finish reason show."""
        if self.cut_off:
            problem = f"length: cut off after {self.answer_tokens} tokens"
        elif self.finish_reason == "content_filter":
            problem = "filtered: the endpoint's content filter stopped the answer"
        elif not self.text.strip():
            problem = f"empty: no text, finish reason {self.finish_reason!r}"
        else:
            problem = ""
        return replace(self, problem=problem)

    def then(self, second: "Answer") -> "Answer":
        """This answer, which was cut off, after a second one with more room: both were paid."""
        better = second if second.text else self
        return replace(
            better,
            key=self.key,
            prompt_tokens=self.prompt_tokens + second.prompt_tokens,
            answer_tokens=self.answer_tokens + second.answer_tokens,
            usd=self.usd + second.usd,
            kept=self.kept and second.kept,
        )
