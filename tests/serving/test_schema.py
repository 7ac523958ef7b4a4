"""The published OpenAPI, taken at its word by schemathesis: what it allows and what it refuses."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from tests.serving.live import MODEL, Live

schemathesis = pytest.importorskip("schemathesis")


@pytest.mark.slow
def test_responses_are_as_published(live: Live):
    schema = schemathesis.openapi.from_url(f"{live.url}/openapi.json")
    # Fields that do not fit together, which a schema cannot say, are refused.
    excluded = [schemathesis.checks.positive_data_acceptance]
    for operation in schema.get_all_operations():

        def check(case: Any) -> None:
            if isinstance(case.body, dict) and "model" in case.body:
                case.body |= {"model": MODEL, "max_completion_tokens": 2}
            case.call_and_validate(excluded_checks=excluded, timeout=200)

        run = settings(max_examples=50, suppress_health_check=list(HealthCheck))
        run(given(operation.ok().as_strategy())(check))()
