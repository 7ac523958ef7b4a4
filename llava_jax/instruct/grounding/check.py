"""All rules on one response, and what follows from what they find."""

from collections.abc import Mapping, Sequence

from llava_jax.instruct.grounding.affordances import affordances
from llava_jax.instruct.grounding.attributes import attributes
from llava_jax.instruct.grounding.counts import counts
from llava_jax.instruct.grounding.finding import Finding, Rule, Verdict
from llava_jax.instruct.grounding.form import form
from llava_jax.instruct.grounding.leaks import leaks
from llava_jax.instruct.grounding.motion import motion
from llava_jax.instruct.grounding.navigation import navigation
from llava_jax.instruct.grounding.objects import objects
from llava_jax.instruct.grounding.plans import plans
from llava_jax.instruct.grounding.positions import positions
from llava_jax.instruct.grounding.questions import questions
from llava_jax.instruct.grounding.regions import regions
from llava_jax.instruct.grounding.space import space
from llava_jax.instruct.grounding.time import lengths, moments, order
from llava_jax.instruct.scene import Scene
from llava_jax.instruct.turns import Turn

# A rule returns nothing for scenes that it does not apply to.
RULES: Mapping[str, Rule] = {
    "objects": objects,
    "counts": counts,
    "positions": positions,
    "attributes": attributes,
    "regions": regions,
    "order": order,
    "moments": moments,
    "lengths": lengths,
    "motion": motion,
    "space": space,
    "affordances": affordances,
    "navigation": navigation,
    "plans": plans,
    "leaks": leaks,
    "questions": questions,
    "form": form,
}
_WORSE: tuple[Verdict, ...] = ("pass", "unknown", "warn", "fail")


def check(scene: Scene, turns: Sequence[Turn]) -> list[Finding]:
    """Everything that the rules say of a response, rule by rule."""
    return [finding for rule in RULES.values() for finding in rule(scene, turns)]


def verdict(findings: Sequence[Finding]) -> Verdict:
    """The worst of them: a response is rejected on "fail" and kept otherwise.

    "unknown" where there are none: nothing was read that the scene speaks of.
    """
    return max((finding.verdict for finding in findings), key=_WORSE.index, default="unknown")
