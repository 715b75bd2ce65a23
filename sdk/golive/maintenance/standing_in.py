"""A partitioned table made in the place of the plain one, which becomes its only partition."""

from sqlalchemy import Connection, text

from golive.errors import GoliveError
from golive.maintenance.partitions import OPEN, TABLE, Layout, execute

_OBSTACLES = """
SELECT 'it has another primary key than (id)' WHERE NOT EXISTS (
    SELECT FROM pg_index i JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0]
    WHERE i.indrelid = :oid AND i.indisprimary AND i.indnkeyatts = 1 AND a.attname = 'id')
UNION ALL SELECT 'it has the unique index ' || indexrelid::regclass FROM pg_index
    WHERE indrelid = :oid AND indisunique AND NOT indisprimary
UNION ALL SELECT 'it has the invalid index ' || indexrelid::regclass FROM pg_index
    WHERE indrelid = :oid AND NOT indisvalid
UNION ALL SELECT 'its column ' || attname || ' is an identity' FROM pg_attribute
    WHERE attrelid = :oid AND attidentity <> '' AND NOT attisdropped
UNION ALL SELECT 'it has the trigger ' || tgname FROM pg_trigger WHERE tgrelid = :oid AND NOT tgisinternal
UNION ALL SELECT 'it has row security' FROM pg_class WHERE oid = :oid AND relrowsecurity
UNION ALL SELECT 'it has the rule ' || rulename FROM pg_rewrite WHERE ev_class = :oid
UNION ALL SELECT 'it is part of an inheritance' FROM pg_inherits WHERE :oid IN (inhrelid, inhparent)
UNION ALL SELECT 'it is in a publication' FROM pg_publication_rel WHERE prrelid = :oid
UNION ALL SELECT 'it has the foreign key ' || conname FROM pg_constraint
    WHERE contype = 'f' AND conrelid = :oid
UNION ALL SELECT conrelid::regclass || ' refers to it by the foreign key ' || conname FROM pg_constraint
    WHERE contype = 'f' AND confrelid = :oid
UNION ALL SELECT DISTINCT 'the view ' || r.ev_class::regclass || ' reads it'
    FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid
    WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = :oid
"""
"""What would stay behind with the old table, or is not possible of a partitioned one."""

_GRANTS = """
SELECT format('GRANT %s ON %s TO %s%s', a.privilege_type, CAST(:table AS text),
    CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
    CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
FROM pg_class c, aclexplode(c.relacl) a WHERE c.oid = :oid AND a.grantee <> c.relowner
"""
_SEQUENCES = """
SELECT format('ALTER SEQUENCE %s OWNED BY %s.%I', d.objid::regclass, CAST(:table AS text), a.attname)
FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
WHERE d.classid = 'pg_class'::regclass AND d.refobjid = :oid AND d.deptype = 'a'
"""
_EVERYTHING = "FOR VALUES FROM (MINVALUE) TO (MAXVALUE)"
_COPIED = "INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED INCLUDING STORAGE INCLUDING COMMENTS"


def check_can_stand_in(connection: Connection, found: Layout) -> None:
    """Return if a partitioned table can take the place of the plain one.

    Raises:
        GoliveError: Something would be lost; the message names it.
    """
    if found.partitions is not None:
        return
    obstacles = connection.scalars(text(_OBSTACLES), {"oid": _oid(connection, found)}).all()
    if obstacles:
        raise GoliveError(f"{TABLE} cannot be partitioned as it is: {'; '.join(obstacles)}")


def stand_in(connection: Connection, found: Layout) -> None:
    """Put a partitioned table in the place of the plain one, in the open transaction, which has it locked.

    Rows, indexes and their statistics stay where they are: the table and its indexes get other names, and
    become parts of new ones that have theirs. No row is read, for every id fits.
    """
    oid = _oid(connection, found)
    table, first = found.sql(TABLE), found.sql(OPEN)
    indexes = connection.execute(
        text(
            "SELECT c.relname, i.indisprimary, pg_get_indexdef(c.oid) AS definition FROM pg_index i "
            "JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = :oid"
        ),
        {"oid": oid},
    ).all()
    statements = [f'ALTER TABLE {table} RENAME TO "{OPEN}"']
    statements += [
        f"ALTER INDEX {found.sql(index.relname)} RENAME TO {_quoted(index.relname[:57] + '_first')}"
        for index in indexes
    ]
    statements.append(f"CREATE TABLE {table} (LIKE {first} {_COPIED}) PARTITION BY RANGE (id)")
    for index in indexes:
        if index.indisprimary:
            statements.append(f"ALTER TABLE {table} ADD CONSTRAINT {_quoted(index.relname)} PRIMARY KEY (id)")
        else:
            statements.append(index.definition)  # it names the table, and that is now the new one
    statements.append(f"ALTER TABLE {table} ATTACH PARTITION {first} {_EVERYTHING}")
    for query in (_GRANTS, _SEQUENCES):
        statements += connection.scalars(text(query), {"oid": oid, "table": table})
    owner = connection.scalar(
        text("SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_class WHERE oid = :oid"), {"oid": oid}
    )
    statements.append(f"ALTER TABLE {table} OWNER TO {owner}")
    execute(connection, *statements)


def _oid(connection: Connection, found: Layout) -> int:
    oid: int = connection.execute(
        text("SELECT CAST(to_regclass(:table) AS oid)"), {"table": found.sql(TABLE)}
    ).scalar_one()
    return oid


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
