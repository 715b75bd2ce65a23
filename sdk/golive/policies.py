"""The table of a lever's policies: rows with a version, each made or replaced in one audited act."""

from collections.abc import Mapping, Sequence
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import ColumnElement, Connection, and_, insert, select, update

from golive import audit, governance
from golive.errors import VersionConflict
from golive.models.base import Base

_NOT_SHOWN = ("changed_by", "reason", "updated_at")
"""What an audit row has in columns of its own."""


class Policy(Protocol):
    """A policy as it is stored: a named tuple, with these fields among others."""

    @property
    def version(self) -> int:
        """How often it was changed, and 1."""
        ...

    def _asdict(self) -> dict[str, Any]: ...


P = TypeVar("P", bound=Policy)


class PolicyTable(Generic[P]):
    """The policies of one lever.

    Attributes:
        columns: What a row is read from, in the order of the named tuple's fields.
    """

    def __init__(self, model: type[Base], view: type[P], key: Sequence[str]) -> None:
        self._model = model
        make: Any = view
        self._make = make
        self._key = tuple(key)
        self._name = model.__tablename__
        self.columns = tuple(getattr(model, name) for name in make._fields)

    def of(self, row: Sequence[Any]) -> P:
        """Return the policy a row of `columns` has."""
        made: P = self._make(*row)
        return made

    def get(self, connection: Connection, *key: str) -> P | None:
        """Return the policy of this key."""
        row = connection.execute(select(*self.columns).where(self._at(key))).one_or_none()
        return None if row is None else self.of(row)

    def all(self, connection: Connection) -> list[P]:
        """Return every policy, by its key."""
        keys = (getattr(self._model, name) for name in self._key)
        return [self.of(row) for row in connection.execute(select(*self.columns).order_by(*keys))]

    def put(
        self,
        connection: Connection,
        key: Sequence[str],
        values: Mapping[str, Any],
        *,
        actor: str,
        reason: str,
        version: int | None,
        action: str = "upsert",
        stops: bool = False,
    ) -> P:
        """Make or replace a policy, in the transaction of `governance.acting`, and audit it.

        Args:
            connection: The transaction.
            key: Whose policy.
            values: What somebody decided; columns it does not name stay as they are, or have the defaults.
            actor: Who.
            reason: Why.
            version: The version the decision was made on, 0 for a policy that is not there yet; None to not
                care.
            action: What the audit trail calls it.
            stops: Whether it stops or slows production, as `audit.append` has it.

        Raises:
            VersionConflict: The policy was changed since.
        """
        before = self.get(connection, *key)
        current = 0 if before is None else before.version
        if version is not None and version != current:
            raise VersionConflict(f"the {self._name.replace('_', ' ')} of {'/'.join(key)}", version, current)
        row = dict(zip(self._key, key, strict=True)) | dict(values)
        row |= {"changed_by": actor, "reason": reason, "version": current + 1}
        row["updated_at"] = governance.now_of(connection)
        if before is None:
            connection.execute(insert(self._model).values(row))
        else:
            connection.execute(update(self._model).where(self._at(key)).values(row))
        after = self.of(connection.execute(select(*self.columns).where(self._at(key))).one())
        audit.append(
            connection,
            actor=actor,
            action=f"{self._name}.{action}",
            target="/".join(key),
            before=None if before is None else _shown(before),
            after=_shown(after),
            reason=reason,
            stops=stops,
        )
        return after

    def _at(self, key: Sequence[str]) -> ColumnElement[bool]:
        return and_(
            *(getattr(self._model, name) == value for name, value in zip(self._key, key, strict=True))
        )


def _shown(policy: Policy) -> dict[str, Any]:
    return {name: value for name, value in policy._asdict().items() if name not in _NOT_SHOWN}
