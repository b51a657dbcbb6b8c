"""What a simulated host answers to one request, and after how long: drawn from its model.

Knows nothing of schedulers or flows already open, except how many there are.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from chunkdl.core import events as ev

if TYPE_CHECKING:
    from collections.abc import Callable

    from chunkdl.testing.simulated_network import Flow, LinkModel, MirrorModel

# A connect that nobody answers, as the engine bounds it.
_CONNECT_S = 10.0
# A host that is down refuses as often as it drops; a failing connect is more often reset than lost.
_DOWN_REFUSES = 0.5
_FAILURE_RESETS = 0.7


@dataclass(frozen=True, slots=True)
class Request:
    """One request as the host sees it; ``neighbours`` counts its open connections, this one included."""

    order: ev.OpenLease
    flow: Flow
    mirror: MirrorModel
    answer_s: float
    neighbours: int


def answer(request: Request, link: LinkModel, now: float, draw: Callable[[], float]) -> tuple[float, ev.Event | None]:
    """Seconds until something happens, and the ending that it is; None means good headers."""
    host, calm = request.flow.host, request.flow.host.is_calm(now)
    if link.is_down(now):
        return _lost(request, _CONNECT_S)
    if host.is_down(now):
        return _lost(request, request.answer_s if draw() < _DOWN_REFUSES else _CONNECT_S)
    if not calm and draw() < host.connect_failure:
        return _lost(request, request.answer_s if draw() < _FAILURE_RESETS else _CONNECT_S)
    if not calm and draw() < host.late_answer:
        late_s = request.answer_s + host.late_s
        patience_s = request.order.first_byte_s
        return (late_s, None) if late_s <= patience_s else _lost(request, patience_s)
    return request.answer_s, _refusal(request, draw, calm=calm)


def _lost(request: Request, after_s: float) -> tuple[float, ev.Event]:
    return after_s, ev.LeaseConnectFailed(request.order.lease, "no connection")


def _refusal(request: Request, draw: Callable[[], float], *, calm: bool) -> ev.Event | None:
    host, order, lease = request.flow.host, request.order, request.order.lease
    if order.file in request.mirror.missing:
        return ev.LeaseRefused(lease, final=True, reason="404")
    if not calm and host.throttle_above is not None and request.neighbours > host.throttle_above:
        return ev.LeaseThrottled(lease, host.busy_retry_after_s, "429")
    if not calm and draw() < host.busy:
        return ev.LeaseThrottled(lease, host.busy_retry_after_s, "503")
    if not calm and draw() < host.misbehaviour:
        return ev.LeaseMisbehaved(lease, request.flow.start, "wrong Content-Range")
    if not host.ranged and not order.whole and request.flow.start > 0:
        return ev.LeaseUnranged(lease, host.name)
    return None
