"""golive's tables as SQLAlchemy models: the event store's shape, for queries of your own.

from sqlalchemy import select
from golive.models import KpiEventRow

session.scalars(select(KpiEventRow).where(KpiEventRow.correlation_id == "deal_123"))
"""

from golive.models.api_token import ApiToken
from golive.models.audit import GovernanceAudit, GovernanceAuditHead
from golive.models.base import Base, Json, Money, UtcDateTime
from golive.models.go_live import GoLiveState
from golive.models.heimdall import (
    HeimdallEvent,
    HeimdallPolicy,
    HeimdallRecommendation,
    HeimdallScorecardDay,
)
from golive.models.kpi_event import KpiEventRow
from golive.models.page_session import PageSession
from golive.models.regression import RegressionPolicy, RegressionState
from golive.models.risk import RiskEvent, RiskLedgerDay, RiskPolicy, RiskReservation

__all__ = [
    "ApiToken",
    "Base",
    "GoLiveState",
    "GovernanceAudit",
    "GovernanceAuditHead",
    "HeimdallEvent",
    "HeimdallPolicy",
    "HeimdallRecommendation",
    "HeimdallScorecardDay",
    "Json",
    "KpiEventRow",
    "Money",
    "PageSession",
    "RegressionPolicy",
    "RegressionState",
    "RiskEvent",
    "RiskLedgerDay",
    "RiskPolicy",
    "RiskReservation",
    "UtcDateTime",
]
