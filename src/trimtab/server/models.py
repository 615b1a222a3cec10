"""GET /v1/models: `auto` and every configured model, with where it runs, its price and what it can do.

Clients of both dialects ask here; Anthropic's are known by their `anthropic-version`, and get its form and its pages.
"""

from collections.abc import Sequence

from starlette.requests import Request
from starlette.responses import Response

from trimtab.errors import MalformedError, NotFoundError
from trimtab.server import admission
from trimtab.server.embeddings import MODEL
from trimtab.server.place import Place, json, place
from trimtab.types import Json, ModelSpec

AUTO: Json = {"where": "any", "price": None, "abilities": ["chat"], "about": "Trimtab decides which model answers."}


PAGE, LARGEST = 20, 1000
"""Models of one of Anthropic's pages."""
UNSAID: Json = dict.fromkeys(("capabilities", "deprecated_at", "line", "max_tokens", "retires_at"))
"""What only Anthropic knows of its models."""


async def listing(request: Request) -> Response:
    models = list(_all(place(request)).values())
    if not anthropic(request):
        return json({"object": "list", "data": models})
    return json(_page(request, [_info(model) for model in models]))


async def one(request: Request) -> Response:
    """Raises `NotFoundError` that lists the models there are."""
    models, name = _all(place(request)), request.path_params["id"]
    if name not in models:
        raise NotFoundError(
            f"There is no model {name!r}.", f"The models are: {', '.join(models)}.", param="model",
            code="model_not_found",
        )  # fmt: skip
    return json(_info(models[name]) if anthropic(request) else models[name])


def anthropic(request: Request) -> bool:
    """Whether the client is one of Anthropic's."""
    return "anthropic-version" in request.headers


def _all(here: Place) -> dict[str, Json]:
    found = {"auto": _model("auto", "trimtab", AUTO)}
    mine = admission.caller().models
    found |= {
        name: _model(name, spec.where, _about(spec))
        for name, spec in here.desk.specs.items()
        if not mine or name in mine
    }
    if here.encoder_of:
        found[MODEL] = _model(MODEL, "local", {"where": "local", "price": None, "abilities": ["embeddings"]})
    return found


def _info(model: Json) -> Json:
    """A model as Anthropic's clients read it; when it came out nobody here knows."""
    return {
        **UNSAID, "type": "model", "id": model["id"], "display_name": model["id"],
        "created_at": "1970-01-01T00:00:00Z", "lifecycle": "active",
        "max_input_tokens": model["trimtab"].get("context"), "trimtab": model["trimtab"],
    }  # fmt: skip


def _page(request: Request, infos: Sequence[Json]) -> Json:
    """`limit` models after the one named by `after_id`, or before `before_id`. Raises `MalformedError`."""
    asked, names = request.query_params, [info["id"] for info in infos]
    size = asked.get("limit", str(PAGE))
    if not (size.isascii() and size.isdigit() and len(size) < 5 and 0 < int(size) <= LARGEST):
        raise MalformedError("limit is wrong.", f"It must be a whole number from 1 to {LARGEST}.", param="limit")
    for end in ("after_id", "before_id"):
        if asked.get(end, names[0]) not in names:
            raise MalformedError(f"{end} is no model.", "It must be an id of the list.", param=end)
    first = names.index(asked["after_id"]) + 1 if "after_id" in asked else 0
    last = names.index(asked["before_id"]) if "before_id" in asked else len(infos)
    backwards = "before_id" in asked and "after_id" not in asked
    found = infos[first:last]
    shown = found[-int(size) :] if backwards else found[: int(size)]
    return {
        "data": shown, "has_more": len(shown) < len(found), "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
    }  # fmt: skip


def _model(name: str, owner: str, about: Json) -> Json:
    return {"id": name, "object": "model", "created": 0, "owned_by": owner, "trimtab": about}


def _about(spec: ModelSpec) -> Json:
    """Prices are exact strings of USD per million tokens, null where unknown."""
    price = spec.price and {
        f"{name}_usd_per_mtok": None if (amount := getattr(spec.price, name)) is None else str(amount)
        for name in spec.price.__struct_fields__
    }
    return {
        "where": spec.where, "region": spec.region or None,
        "price": price, "context": spec.context, "abilities": sorted(spec.abilities),
        "recorded": spec.recorded,
    }  # fmt: skip
