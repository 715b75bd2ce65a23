"""A table of the business's own, as tests write it by the ORM."""

from sqlalchemy import Engine, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Deal(Base):
    __tablename__ = "deal"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


def deals(engine: Engine) -> int:
    """Return how many are committed."""
    with engine.connect() as connection:
        return connection.scalar(text("SELECT count(*) FROM deal")) or 0
