"""GET /v1/models: `auto` and every configured model, with where it runs, its price and what it can do."""

from starlette.requests import Request
from starlette.responses import Response

from trimtab.errors import NotFoundError
from trimtab.server import admission
from trimtab.server.embeddings import MODEL
from trimtab.server.place import Place, json, place
from trimtab.types import Json, ModelSpec

AUTO: Json = {"where": "any", "price": None, "abilities": ["chat"], "about": "Trimtab decides which model answers."}


async def listing(request: Request) -> Response:
    return json({"object": "list", "data": list(_all(place(request)).values())})


async def one(request: Request) -> Response:
    """Raises `NotFoundError` that lists the models there are."""
    models, name = _all(place(request)), request.path_params["id"]
    if name not in models:
        raise NotFoundError(
            f"There is no model {name!r}.", f"The models are: {', '.join(models)}.", param="model",
            code="model_not_found",
        )  # fmt: skip
    return json(models[name])


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


def _model(name: str, owner: str, about: Json) -> Json:
    return {"id": name, "object": "model", "created": 0, "owned_by": owner, "trimtab": about}


def _about(spec: ModelSpec) -> Json:
    """Prices are exact strings of USD per million tokens, null where unknown."""
    price = spec.price and {
        f"{name}_usd_per_mtok": None if (amount := getattr(spec.price, name)) is None else str(amount)
        for name in spec.price.__struct_fields__
    }
    return {
        "where": spec.where, "price": price, "context": spec.context, "abilities": sorted(spec.abilities),
        "recorded": spec.recorded,
    }  # fmt: skip
