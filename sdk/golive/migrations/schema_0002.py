"""The tables revision 0002 adds, kept apart from the models, which go on changing."""

from sqlalchemy import (
    BigInteger,
    Column,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    func,
    text,
)

from golive.models.base import BigId, Json, UtcDateTime

metadata = MetaData()

api_token = Table(
    "api_token",
    metadata,
    Column("id", BigId, nullable=False, autoincrement=True),
    Column("name", String(64), nullable=False),
    Column("token_hash", String(64), nullable=False),
    Column("scopes", Json, nullable=False),
    Column("created_by", String(128), nullable=False),
    Column("created_at", UtcDateTime, nullable=False, server_default=func.now()),
    Column("expires_at", UtcDateTime),
    Column("revoked_at", UtcDateTime),
    PrimaryKeyConstraint("id", name="pk_api_token"),
    UniqueConstraint("name", name="uq_api_token_name"),
    UniqueConstraint("token_hash", name="uq_api_token_token_hash"),
)

governance_audit_head = Table(
    "governance_audit_head",
    metadata,
    Column("id", BigId, nullable=False, autoincrement=False),
    Column("last_id", BigInteger, nullable=False, server_default=text("0")),
    Column("last_hash", String(64), nullable=False),
    Column("verified_id", BigInteger, nullable=False, server_default=text("0")),
    Column("verified_at", UtcDateTime),
    Column("broken_id", BigInteger),
    Column("problem", Text),
    PrimaryKeyConstraint("id", name="pk_governance_audit_head"),
)
