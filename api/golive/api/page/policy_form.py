"""The form of a tripwire's policy: its fields as text, and back."""

from collections.abc import Mapping
from typing import Any, Final

from golive.api.page.fields import decimal, whole
from golive.errors import InvalidArgument
from golive.regression import ACTIONS, RegressionPolicyView
from golive.tripwire import MODES, PinnedBaseline, Rule
from golive.tripwire.calibration import FALSE_TRIPS

LABELS: Final = {
    "enabled": "Enabled",
    "shadow": "Shadow: trips are only counted",
    "mode": "Mode",
    "window_events": "Window, events",
    "baseline_events": "Baseline, events",
    "min_events_to_enforce": "Least events",
    "max_drop_percent": "Largest drop, %",
    "false_trips": "False trips, share",
    "action": "Action",
    "throttle_ladder": "Throttle ladder",
    "blind_after_s": "Blind after, seconds",
    "trip_when_blind": "Trip when blind",
    "unpin": "Take the pinned baseline away",
}
CHOICES: Final = {"mode": MODES, "action": ACTIONS, "false_trips": tuple(map(str, FALSE_TRIPS))}
FLAGS: Final = ("enabled", "shadow", "trip_when_blind", "unpin")
_COUNTS: Final = ("window_events", "baseline_events", "min_events_to_enforce")


def fields(policy: RegressionPolicyView | None) -> dict[str, str]:
    """Return the fields of a stored policy, or those a new one begins with."""
    rule = Rule()
    given: dict[str, Any] = {
        name: getattr(policy or rule, name) for name in ("mode", *_COUNTS, "false_trips")
    }
    drop = policy.max_drop_fraction if policy else rule.max_drop_fraction
    blind = policy.blind_after_s if policy else None
    ladder = policy.throttle_ladder if policy else [0.0]
    return {
        "enabled": _flag(policy is not None and policy.enabled),
        "shadow": _flag(policy is not None and policy.shadow),
        **{name: str(value) for name, value in given.items()},
        "max_drop_percent": f"{drop * 100:.10g}",
        "action": policy.action if policy else ACTIONS[0],
        "throttle_ladder": ", ".join(f"{share:g}" for share in ladder),
        "blind_after_s": "" if blind is None else f"{blind:g}",
        "trip_when_blind": _flag(policy is not None and policy.trip_when_blind),
        "unpin": "",
    }


def typed(form: Mapping[str, str]) -> dict[str, str]:
    """Return the fields as they were typed; a box that was not ticked is not sent."""
    return {name: _flag(name in form) if name in FLAGS else form.get(name, "").strip() for name in LABELS}


def values(form: Mapping[str, str]) -> dict[str, Any]:
    """Return the arguments of `regression.upsert_policy`.

    Raises:
        InvalidArgument: A field cannot be what was typed.
    """
    return {
        **{name: name in form for name in FLAGS},
        **_of_rule(form),
        "action": form.get("action"),
        "throttle_ladder": _ladder(form.get("throttle_ladder", "")),
        "blind_after_s": decimal(form, "blind_after_s") or 0.0,
    }


def rule(form: Mapping[str, str], policy: RegressionPolicyView | None) -> Rule:
    """Return the rule that was typed, with the pinned baseline of the stored policy."""
    given = {name: value for name, value in _of_rule(form).items() if value is not None}
    stored = None if policy is None or "unpin" in form else policy.pinned_baseline
    return Rule(**given, pinned=None if stored is None else PinnedBaseline.from_json(stored))


def _of_rule(form: Mapping[str, str]) -> dict[str, Any]:
    return {
        "mode": form.get("mode"),
        **{name: whole(form, name) for name in _COUNTS},
        "max_drop_fraction": decimal(form, "max_drop_percent", 100),
        "false_trips": decimal(form, "false_trips"),
    }


def _ladder(text: str) -> list[float]:
    try:
        return [float(step) for step in text.replace(";", ",").split(",") if step.strip()]
    except ValueError:
        raise InvalidArgument("throttle_ladder", "falling shares, as 0.5, 0", ascii(text)[:60]) from None


def _flag(given: bool) -> str:
    return "yes" if given else ""
