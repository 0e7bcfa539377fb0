"""Chunk files are PostgreSQL's COPY text: what one side writes, the other reads, whatever the text."""

from __future__ import annotations

import psycopg
from hypothesis import given, settings
from hypothesis import strategies as st

from saga_engine.actions.copy import copytext
from tests.actions.support import Database

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]))
NO_NUL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))


def test_a_line_is_what_the_manual_of_copy_says() -> None:
    block = copytext.lines([["1", copytext.NULL], [copytext.escape("a\tb\nc\\d\r"), copytext.escape("\\N")]])
    assert block == b"1\ta\\tb\\nc\\\\d\\r\n\\N\t\\\\N\n"


@given(st.lists(st.tuples(ANY_TEXT, ANY_TEXT, ANY_TEXT), min_size=1))
def test_rows_come_back(rows: list[tuple[str, str, str]]) -> None:
    block = copytext.lines([[copytext.escape(text) for text in column] for column in zip(*rows, strict=True)])
    found = [[copytext.unescape(field) for field in column] for column in copytext.columns(block)]
    assert list(zip(*found, strict=True)) == rows
    assert block.count(b"\n") == len(rows)


@given(st.lists(st.one_of(st.none(), NO_NUL), min_size=1, max_size=50))
@settings(max_examples=30)
def test_a_text_is_never_taken_for_null(texts: list[str | None]) -> None:
    fields = [copytext.NULL if text is None else copytext.escape(text) for text in texts]
    [read] = copytext.columns(copytext.lines([fields]))
    assert [None if field == copytext.NULL else copytext.unescape(field) for field in read] == texts


def test_postgresql_reads_what_is_written_and_writes_what_is_read(postgres_url: str) -> None:
    server = psycopg.connect(Database(postgres_url).libpq)
    server.execute("CREATE TABLE t (n int, v text)")

    @given(st.lists(st.one_of(st.none(), NO_NUL), min_size=1, max_size=50))
    @settings(max_examples=40)
    def agree(texts: list[str | None]) -> None:
        server.execute("TRUNCATE t")
        fields = [copytext.NULL if text is None else copytext.escape(text) for text in texts]
        with server.cursor().copy("COPY t FROM STDIN") as writer:
            writer.write(copytext.lines([map(str, range(len(texts))), fields]))
        assert [v for (v,) in server.execute("SELECT v FROM t ORDER BY n")] == texts
        with server.cursor().copy("COPY (SELECT v FROM t ORDER BY n) TO STDOUT") as reader:
            [read] = copytext.columns(b"".join(copytext.gathered(reader)))
        assert [None if field == copytext.NULL else copytext.unescape(field) for field in read] == texts

    agree()
    server.close()


@given(st.lists(st.binary(max_size=300_000), max_size=8))
@settings(max_examples=20)
def test_gathering_changes_no_byte(pieces: list[bytes]) -> None:
    blocks = list(copytext.gathered(pieces))
    assert b"".join(blocks) == b"".join(pieces)
    assert all(len(block) >= copytext.BLOCK_BYTES for block in blocks[:-1])
