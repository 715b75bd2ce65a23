"""A database whose network is cut without a word: no connection waits for it for hours."""

import socket

from golive import database


def test_a_connection_whose_other_end_says_nothing_ends_within_a_minute(postgres_store: str) -> None:
    engine = database.create_store_engine(database.normalise_url(postgres_store))
    with engine.connect() as connection:
        number = connection.connection.driver_connection.fileno()  # type: ignore[union-attr]
        with socket.fromfd(number, socket.AF_INET, socket.SOCK_STREAM) as duplicate:
            assert duplicate.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            idle, interval, count = (
                duplicate.getsockopt(socket.IPPROTO_TCP, option)
                for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
            )
            assert idle + interval * count <= 60
            assert 0 < duplicate.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) <= 60_000
    engine.dispose()
