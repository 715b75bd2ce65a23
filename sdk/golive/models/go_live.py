"""The table of the go-live state."""

from sqlalchemy import String, Text, false, text
from sqlalchemy.orm import Mapped, mapped_column

from golive.models.base import Base, BigId, Now


class GoLiveState(Base):
    """Whether production may act: one row, whose id is 1."""

    __tablename__ = "go_live_state"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False, default=1)
    go_live_enabled: Mapped[bool] = mapped_column(default=False, server_default=false())
    kill_switch_engaged: Mapped[bool] = mapped_column(default=False, server_default=false())
    changed_by: Mapped[str | None] = mapped_column(String(128))
    reason: Mapped[str | None] = mapped_column(Text)
    version: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    updated_at: Mapped[Now]
