"""A pytest plugin for conformance.py, in the SDKs' own environment: notes how each test ended, and changes requests.

`CONFORMANCE_OUT` is the file of the outcomes, a JSON line for each test. `CONFORMANCE_INSTEAD` is a JSON list of
[pattern of a test, fields]: in the requests of such a test a field gets that value, and is left out where it is null.
"""

import importlib
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

INSTEAD = json.loads(os.environ.get("CONFORMANCE_INSTEAD", "[]"))
now: list[str] = [""]


def pytest_configure() -> None:
    client = importlib.import_module(os.environ["CONFORMANCE_SDK"] + "._base_client").BaseClient
    build = client._build_request  # noqa: SLF001 - the one place that all requests pass

    def built(self: Any, options: Any, **more: Any) -> Any:
        for fields in (fields for pattern, fields in INSTEAD if re.search(pattern, now[0])):
            for name, value in fields.items():
                for given in (options.json_data, options.params):
                    _put(given, name, value)
            missing = {name: value for name, value in fields.items() if value is not None}
            if options.method == "post":
                options.json_data = {**missing, **(options.json_data or {})}
        return build(self, options, **more)

    client._build_request = built  # noqa: SLF001


def _put(given: Any, name: str, value: Any) -> None:
    if isinstance(given, dict) and name in given:
        given.pop(name) if value is None else given.update({name: value})


def pytest_runtest_setup(item: pytest.Item) -> None:
    now[0] = item.nodeid


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    report = (yield).get_result()
    if report.when != "call" and report.passed:
        return
    error = call.excinfo.value if call.excinfo and report.failed else None
    body = getattr(error, "body", None)
    inner = body.get("error", body) if isinstance(body, dict) else {}
    found = {
        "test": item.nodeid, "end": report.outcome, "said": repr(error)[:300] if error else "",
        "status": getattr(error, "status_code", None), "code": inner.get("code") if isinstance(inner, dict) else None,
    }  # fmt: skip
    with Path(os.environ["CONFORMANCE_OUT"]).open("a") as out:
        out.write(json.dumps(found) + "\n")
