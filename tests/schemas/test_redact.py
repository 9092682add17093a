"""Passwords are redacted."""

import pytest

from schemas.redact import without_passwords


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        ("run --database postgresql://me:secret@host/db --json", "run --database postgresql://me:***@host/db --json"),
        ("postgresql+psycopg://me:se:cr/et@host:5432/db", "postgresql+psycopg://me:***@host:5432/db"),
        ("postgresql://me:se@cret@host/db", "postgresql://me:***@host/db"),
        ("'postgresql://host/db?user=me&password=secret&x=1'", "'postgresql://host/db?user=me&password=***&x=1'"),
        ("postgresql://host/db?sslpassword=secret", "postgresql://host/db?sslpassword=***"),
        (
            "--set notify.0.webhook.url=https://host/hook?token=secret",
            "--set notify.0.webhook.url=https://host/hook?token=***",
        ),
        ("sqlite:////data/lineage.db at 12:30@noon", "sqlite:////data/lineage.db at 12:30@noon"),
        ("postgresql://host:5432/db mail me@host", "postgresql://host:5432/db mail me@host"),
        ("nothing to hide", "nothing to hide"),
    ],
)
def test_only_passwords_are_redacted(text: str, redacted: str) -> None:
    assert without_passwords(text) == redacted
