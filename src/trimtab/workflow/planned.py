"""A plan that a model writes: which of the flow's own steps, in which order, with one text each; held to a schema."""

from typing import Any

from trimtab.types import Json
from trimtab.workflow import fits
from trimtab.workflow.steps import Ask, Plan

LONGEST = 4000
"""Characters that a model may write for one step."""
SYSTEM = (
    "You plan. Choose which of these steps are done, in which order, at most {most}; each step may be chosen more than "
    "once. Write for each what it is to be told. Steps: {steps}."
)


def schema(step: Plan) -> Json:
    """What a plan must be: steps that the flow has, so many at most, with a text of a bounded length."""
    one = {
        "type": "object", "additionalProperties": False, "required": ["step", "say"],
        "properties": {
            "step": {"type": "string", "enum": [one.name for one in step.steps]},
            "say": {"type": "string", "maxLength": LONGEST},
        },
    }  # fmt: skip
    steps = {"type": "array", "items": one, "minItems": 1, "maxItems": step.most}
    return {"type": "object", "additionalProperties": False, "required": ["steps"], "properties": {"steps": steps}}


def asking(step: Plan) -> Ask:
    """The request by which a plan is made: internal, since nothing of it is released."""
    told = ", ".join(f"{one.name} ({one.__struct_config__.tag})" for one in step.steps)
    return Ask(
        name=step.name, ask=step.ask, models=step.models, schema=schema(step), retry=step.retry, internal=True,
        otherwise=step.otherwise, system=SYSTEM.format(most=step.most, steps=told),
    )  # fmt: skip


def read(step: Plan, value: Any) -> tuple[list[Json], str]:
    """The chosen steps, and why they are no plan: what a person wrote in a model's place is held to the same."""
    why = fits.mismatch(schema(step), value)
    return ([], f"The plan does not fit: {why}.") if why else (value["steps"], "")
