"""No secret leaves by a text: not by a URL, not by a driver's message."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from saga_engine.settings import redact, resolve, secret


def resolved(url: str) -> str:
    return resolve("connections.dw", "env:URL", {"URL": url}, Path("/")).get_secret_value()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("postgresql+psycopg://me:hunter2@h:5432/db", "postgresql+psycopg://me:***@h:5432/db"),
        ("cannot reach mysql://root:p@ss@h/db: refused", "cannot reach mysql://root:***@h/db: refused"),
        ("postgresql://:only@h", "postgresql://:***@h"),
        ("host=h password=hunter2 user=me", "host=h password=*** user=me"),
        ("Password = 'two words', port=1", "Password = ***, port=1"),
        ("postgresql://h/db?sslpassword=x&sslmode=require", "postgresql://h/db?sslpassword=***&sslmode=require"),
        ("no route to postgresql://u:pa'ss@h/db", "no route to postgresql://u:***@h/db"),
        ("'postgresql://u:p\"q@h/db', said a@b", "'postgresql://u:***@h/db', said a@b"),
        ("access_token=x1, client_secret = y2", "access_token=***, client_secret = ***"),
        ("--input db_password=hunter2 --yes", "--input db_password=*** --yes"),
        ('{"password": "x", "port": 1}', '{"password": ***, "port": 1}'),
        ("{'db_password': 'it\\'s', 'n': 2}", "{'db_password': ***, 'n': 2}"),
        (r'"{\"api_key\": \"k y\", \"n\": 2}"', r'"{\"api_key\": ***, \"n\": 2}"'),
        ('{"password": 12}', '{"password": ***}'),
        ("unexpected token: ';' in line 3", "unexpected token: ';' in line 3"),
        ("max_tokens=5, token_count=7, mytoken=8", "max_tokens=5, token_count=7, mytoken=8"),
        ('{"seen":"http://h:8080/x","by":"ann@h"}', '{"seen":"http://h:8080/x","by":"ann@h"}'),
        ("<a href='http://h:80/x'>ann@h</a>", "<a href='http://h:80/x'>ann@h</a>"),
        ("http://127.0.0.1:8080/path at noon", "http://127.0.0.1:8080/path at noon"),
        ("sqlite:////srv/saga.db", "sqlite:////srv/saga.db"),
        ("7: APPROVING → LOADING", "7: APPROVING → LOADING"),
    ],
)
def test_passwords_leave_texts_and_nothing_else_does(text: str, shown: str) -> None:
    assert redact(text) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("postgresql://u:pa'ss@h/db", "postgresql://u:***@h/db"),
        ('postgresql://u:a b"c@d/e?f@h/db', "postgresql://u:***@h/db"),
        ("mysql://root:\nx@h/db", "mysql://root:***@h/db"),
        ("postgresql://h/db?sslpassword=it's it&sslmode=require", "postgresql://h/db?sslpassword=***&sslmode=require"),
        ("postgresql://ann@h:5432/db?application_name=a@b", "postgresql://ann@h:***@b"),  # as SQLAlchemy reads it
        ("sqlite:////srv/a:b@c/saga.db", "sqlite:////srv/a:b@c/saga.db"),
        ("env:DW", "env:DW"),
        ("password=hunter2", "password=***"),
    ],
)
def test_a_value_that_is_a_url_loses_its_password_whatever_that_holds(value: str, shown: str) -> None:
    assert secret.redact_value(value) == shown


def test_a_name_that_ends_with_a_word_for_secrets_is_that_of_a_secret() -> None:
    names = ["password", "db_password", "ACCESS_TOKEN", "sslpassword", "passwords", "token_count", "mytoken", "key"]
    assert [name for name in names if secret.is_secret_name(name)] == names[:4]


def test_a_resolved_secret_is_removed_wherever_it_turns_up_as_written_and_as_meant() -> None:
    resolved("postgresql://me:corr%20ect%2Fhorse@h/db?sslpassword=battery-staple")
    assert (
        redact("tried corr%20ect%2Fhorse, then 'corr ect/horse'; key battery-staple")
        == "tried ***, then '***'; key ***"
    )


def test_a_short_password_does_not_eat_words_that_contain_it() -> None:
    resolved("postgresql://me:xq@h/db")
    assert redact("xq, exquisite, (xq) and faxq") == "***, exquisite, (***) and faxq"


@given(st.text(st.characters(exclude_categories=["C", "Z"], exclude_characters="/@%+:?#*"), min_size=1, max_size=20))
def test_no_password_survives_in_any_message(password: str) -> None:
    with pytest.MonkeyPatch.context() as only_this:
        only_this.setattr(secret, "_known", secret._Known())
        resolved(f"postgresql://me:{password}@h/db")
        assert redact(f"\t{password}\t") == "\t***\t"
