"""Any router, less the small models whose promise is broken: the safe side is the large one."""

from collections.abc import Mapping

import msgspec

from trimtab.ports import Router
from trimtab.route._draw import redrawn
from trimtab.route._watch import Watch, concerns
from trimtab.types import Decision, ModelSpec, Request

BROKEN = "promise_broken"


class Promised:
    """A `Router` around another one."""

    def __init__(self, router: Router, watch: Watch) -> None:
        self._router, self._watch = router, watch

    async def route(self, request: Request, models: Mapping[str, ModelSpec]) -> Decision:
        """Raises as the inner router does. A model that the client pinned stays: it was asked for by name."""
        decision = await self._router.route(request, models)
        broken = await self._watch.broken()
        if not broken or request.wishes.model != "auto":
            return decision
        lost = {
            contract.small for contract in self._watch.contracts
            if contract.name in broken and concerns(contract, request) and contract.large in decision.ladder
        } & set(decision.ladder)  # fmt: skip
        if not lost:
            return decision
        return msgspec.structs.replace(
            decision, ladder=tuple(name for name in decision.ladder if name not in lost),
            left_out={**decision.left_out, **dict.fromkeys(sorted(lost), BROKEN)},
            reasons=(*decision.reasons, BROKEN), signals=redrawn(decision.signals),
        )  # fmt: skip
