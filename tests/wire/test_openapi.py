"""The OpenAPI document tells every route that is mounted, and its references lead somewhere."""

import re
from typing import Any

import msgspec

from trimtab.server import app, openapi


def document() -> Any:
    return msgspec.json.decode(openapi._encoded())


def test_every_route_is_told_and_none_that_is_not_there() -> None:
    mounted = {(path, "POST") for path, *_ in app.HOT} | {(path, method) for path, _, method, _ in app.ROUTES}
    told = {(path, method.upper()) for path, item in document()["paths"].items() for method in item}
    assert told == {(re.sub(r"{(\w+):\w+}", r"{\1}", path), method) for path, method in mounted}
    assert set(openapi.TOLD) == {(method, path) for path, method in mounted}


def test_every_reference_leads_to_a_schema_and_every_operation_has_a_name_of_its_own() -> None:
    found = document()
    names = set(found["components"]["schemas"])
    references = set(re.findall(r'"#/components/schemas/([^"]+)"', openapi._encoded().decode()))
    assert references <= names
    ids = [operation["operationId"] for item in found["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids))


def test_roles_are_those_of_the_routes() -> None:
    for path, _, method, role in app.ROUTES:
        operation = document()["paths"][re.sub(r"{(\w+):\w+}", r"{\1}", path)][method.lower()]
        assert operation["description"] == f"Role: {role}."
        assert (operation["security"] == []) is (role == "anyone")
