"""Whether and when to try again."""

from __future__ import annotations

import pytest

from agent.retry import backoff, retry_after, verdict


@pytest.mark.parametrize(
    ("status", "meaning"),
    [(200, "ok"), (204, "ok"), (410, "gone"), (429, "busy"), (503, "ill"), (500, "ill"), (401, "ill"),
     (403, "ill"), (400, "refused"), (404, "refused"), (409, "refused"), (413, "refused"), (301, "refused")],
)  # fmt: skip
def test_only_410_ends_a_run_and_only_what_repeating_cannot_mend_is_refused(status: int, meaning: str) -> None:
    assert verdict(status) == meaning


def test_backoff_doubles_up_to_its_cap_and_leaves_half_to_chance() -> None:
    assert [backoff(n, 1.0, first=1, cap=5) for n in range(4)] == [1, 2, 4, 5]
    assert backoff(10_000, 0.0, first=1, cap=5) == 2.5


def test_retry_after_is_bounded_and_nonsense_is_none() -> None:
    assert retry_after({"retry-after": "3"}) == 3
    assert retry_after({"retry-after": "86400"}) == 60
    assert retry_after({"retry-after": "-1"}) is None
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) is None
    assert retry_after({}) is None
