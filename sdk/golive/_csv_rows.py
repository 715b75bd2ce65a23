"""Rows of CSV, of which a broken one costs itself only; and lines, of which none takes all the memory."""

import csv
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import AnyStr

MAX_LINE = 1 << 20
"""A longer line, in bytes or characters, is no event: a few packed kilobytes can hold one of gigabytes."""
MAX_ROW_LINES, _LEAST_ROW_LINES = 1024, 8
"""How many lines a row of CSV may have: a quote that closes nowhere would take in the rest of the log."""


class CsvRows:
    """CSV rows with the text they were read from, which may be several lines; an error costs its row only."""

    def __init__(self, text: Iterable[str]) -> None:
        self._text = iter(text)
        self._again: deque[str] = deque()
        self._read: list[str] = []
        self._lines = 0
        self._width = 0
        self._most = MAX_ROW_LINES

    def header(self) -> list[str]:
        """Return the first row; empty if there is none."""
        header = next(csv.reader(self._noted(), strict=True), [])
        self._width = len(header)
        return header

    def __iter__(self) -> Iterator[tuple[int, str, list[str] | str]]:
        """Yield the number of a row's first line, its text, and its cells or what is wrong with it."""
        rows = csv.reader(self._noted(), strict=True)
        while True:
            self._read.clear()
            number = self._lines + 1
            row: list[str] | str
            try:
                row = next(rows)
            except StopIteration:
                return
            except csv.Error as error:
                row = f"no CSV: {error}"
                rows = csv.reader(self._noted(), strict=True)  # the old one is still inside the broken row
            if len(self._read) > 1 and (isinstance(row, str) or len(row) != self._width):
                self._put_back()
            elif self._most < MAX_ROW_LINES:
                self._most *= 2
            if row:
                yield number, "".join(self._read)[:MAX_LINE].rstrip("\r\n"), row

    def _put_back(self) -> None:
        """Have the lines behind a broken row's first read again: a stray quote takes no good ones along."""
        # And look less far ahead the next time: broken row upon broken row would take for ever.
        self._most = max(self._most // 2, _LEAST_ROW_LINES)
        self._lines -= len(self._read) - 1
        self._again.extendleft(reversed(self._read[1:]))
        del self._read[1:]

    def _noted(self) -> Iterator[str]:
        while (line := self._again.popleft() if self._again else next(self._text, None)) is not None:
            self._lines += 1
            self._read.append(line)
            if len(line) > MAX_LINE:
                raise csv.Error(f"a line is longer than {MAX_LINE} characters")
            if len(self._read) > self._most:
                raise csv.Error(f"a row is longer than {self._most} lines")
            yield line


def bounded(readline: Callable[[int], AnyStr], ends: AnyStr) -> Iterator[AnyStr]:
    """Yield lines; of one that is longer than `MAX_LINE` only its beginning, by one more than that."""
    while line := readline(MAX_LINE + 1):
        yield line
        while len(line) > MAX_LINE and line[-1:] not in ends:
            line = readline(MAX_LINE + 1)
