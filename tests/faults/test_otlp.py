"""What OTLP's senders were told is kept is kept, whatever happens to the process that told them."""

from pathlib import Path

import httpx
from sqlalchemy import create_engine, text

from golive.api.otlp.bodies import JSON, PROTOBUF
from tests.support.otlp import encoded, post, record
from tests.support.service import golive_serve, token, wait_until


def test_a_killed_service_loses_and_doubles_nothing_that_is_sent_again(
    store: str, tmp_path: Path, environment: dict[str, str]
) -> None:
    shell = environment | {"DATABASE_URL": store}
    headers = token(store, "ingest")
    bodies = [
        (media_type, encoded(media_type, [record(metric=f"m{number}") for _ in range(100)]))
        for number, media_type in enumerate([PROTOBUF, JSON] * 5)
    ]
    for _ in range(3):  # each time everything, as a sender does that never got its answers
        with golive_serve(tmp_path, shell) as (url, process, _printed):
            with httpx.Client(base_url=url, headers=headers) as client:
                for media_type, body in bodies:
                    assert post(client, media_type, body).status_code == 200
            process.kill()
            process.wait(10)
    engine = create_engine(store)
    with golive_serve(tmp_path, shell), engine.connect() as connection:

        def rows() -> int:
            found: int = connection.execute(text("SELECT count(*) FROM kpi_event")).scalar_one()
            connection.rollback()
            return found

        wait_until(lambda: rows() >= 1000, 30)
        assert rows() == 1000
    engine.dispose()
