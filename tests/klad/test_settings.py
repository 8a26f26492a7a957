"""A tenant's `.env`: what it says, and the one line for everything that is wrong in it."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from klad import settings
from klad.errors import UsageError
from klad.settings import READERS, Settings, parse

TOKEN = "123456:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"
EXAMPLE = Path(__file__).parents[2] / ".env.example"

GOOD: dict[str, tuple[str, object]] = {
    "TELEGRAM_BOT_TOKEN": (TOKEN, TOKEN),
    "TELEGRAM_API_URL": ("http://127.0.0.1:8081/", "http://127.0.0.1:8081"),
    "ALLOWED_USERS": (" 12345, 67890 ,", frozenset({12345, 67890})),
    "ASSISTANT_NAME": ("Åsa B.", "Åsa B."),
    "TIMEZONE": ("Europe/Stockholm", "Europe/Stockholm"),
    "PORT": ("3001", 3001),
    "GATEWAY_PORT": ("65535", 65535),
    "GATEWAY_VIA": ("socket", "socket"),
    "MAX_CONCURRENT_CONTAINERS": ("2", 2),
    "IDLE_TIMEOUT": ("1000", 1000),
    "RUNTIME": ("docker", "docker"),
    "CONTAINER_RUNTIME": ("runsc", "runsc"),
    "IMAGE": ("klad:mine", "klad:mine"),
    "EGRESS": ("pypi.org, files.pythonhosted.org:443", "pypi.org, files.pythonhosted.org:443"),
    "CA_BUNDLE": (str(EXAMPLE), str(EXAMPLE)),
    "ANTHROPIC_API_KEY": ("sk-ant-1", "sk-ant-1"),
    "ANTHROPIC_BASE_URL": ("https://[::1]:8443/v1", "https://[::1]:8443/v1"),
    "OPENAI_API_KEY": ("sk-2", "sk-2"),
    "OPENAI_BASE_URL": ("http://localhost:11434", "http://localhost:11434"),
    "MODEL": ("claude", "claude"),
    "CHAT_MODEL": ("haiku", "haiku"),
    "DAILY_BUDGET_USD": ("2.50", 2.5),
    "GROUP_QUOTA_MB": ("500", 500),
}

BAD: dict[str, tuple[str, ...]] = {
    "TELEGRAM_BOT_TOKEN": ("hunter2hunter2", "123456", "123456:short", "١٢٣٤٥٦:AAHdqTcvCH1vGWJxfSeofSAs0K5PALDsaw"),
    "TELEGRAM_API_URL": ("api.telegram.org", "ftp://host", "https://", "http://[::1", "http://host:99999", "http://:80",
                         "http://host:port", "http://a b", "http://host:0"),
    "ALLOWED_USERS": ("@david", "12345;67890", "-100123", "1 2", "9" * 21),
    "ASSISTANT_NAME": ("x" * 65, '" "'),
    "TIMEZONE": ("Mars/Olympus", "../../etc/passwd", "europe/stockholm", "+01:00"),
    "PORT": ("0", "65536", "-1", "3000.5", "three", "0x10", "9" * 40),
    "GATEWAY_PORT": ("0", "65536", "1e3"),
    "GATEWAY_VIA": ("relay", "tcp", "SOCKET"),
    "MAX_CONCURRENT_CONTAINERS": ("1", "1001", "many"),
    "IDLE_TIMEOUT": ("0", "5m", "86400001"),
    "RUNTIME": ("process", "podman"),
    "EGRESS": ("everything!", "-", "http://pypi.org", "a,,b", "host:123456"),
    "CA_BUNDLE": ("/nonexistent/ca.pem", "/", "x" * 5000),
    "ANTHROPIC_BASE_URL": ("localhost:8080", "http://[::1"),
    "OPENAI_BASE_URL": ("/v1", "http://host:port"),
    "DAILY_BUDGET_USD": ("-1", "1,50", "$5", "nan", "inf", "1e3"),
    "GROUP_QUOTA_MB": ("0", "-5", "1.5", "10000001"),
}  # fmt: skip


FORMS = ("123456", "https://", "relay", "process")
"""Bad values that an accepted form happens to hold, or says that their time will come."""


def error_of(text: str) -> str:
    with pytest.raises(UsageError) as caught:
        parse(text, "the.env")
    line = str(caught.value)
    assert "\n" not in line
    return line


class TestTheTable:
    def test_every_field_has_its_reader_and_every_reader_its_field(self) -> None:
        assert {field.name.upper() for field in fields(Settings)} == set(READERS)
        assert set(GOOD) == set(READERS)

    def test_what_names_keys_names_those_that_exist(self) -> None:
        assert set(settings.NOT_YET) <= set(READERS)

    def test_every_secret_is_kept_from_representations(self) -> None:
        secret = {field.name for field in fields(Settings) if field.metadata.get("secret")}
        assert secret == {"telegram_bot_token", "anthropic_api_key", "openai_api_key"}
        chosen = parse("".join(f"{key}={value}\n" for key, (value, _) in GOOD.items()), "the.env")
        assert set(chosen.secrets()) == {TOKEN, "sk-ant-1", "sk-2"}
        for value in chosen.secrets():
            assert value not in repr(chosen)

    def test_the_example_lists_every_key_with_its_default(self) -> None:
        text = EXAMPLE.read_text(encoding="utf-8")
        keys = [line.partition("=")[0] for line in text.splitlines() if line and not line.startswith("#")]
        assert sorted(keys) == sorted(READERS)
        assert parse(text, ".env.example") == Settings()


@pytest.mark.parametrize("key", sorted(READERS))
def test_a_good_value_is_read(key: str) -> None:
    value, wanted = GOOD[key]
    assert getattr(parse(f"{key}={value}", "the.env"), key.lower()) == wanted


@pytest.mark.parametrize("key", sorted(READERS))
def test_an_empty_value_is_the_default(key: str) -> None:
    for text in (f"{key}=", f"{key}=''", f'{key} = ""', f"{key}=   # nothing"):
        assert parse(text, "the.env") == Settings()


@pytest.mark.parametrize(("key", "value"), [(key, value) for key, values in BAD.items() for value in values])
def test_a_malformed_value_names_its_line_and_the_accepted_form_and_is_not_shown(key: str, value: str) -> None:
    said = error_of(f"# a comment\n\n{key}={value}\n")
    assert said.startswith(f"the.env, line 3: {key} must be ")
    form = said.partition(" must be ")[2]
    assert form
    assert len(value) <= 4 or value not in said or value in FORMS


def said_of(text: str) -> str:
    """The error's line; empty when there is none. Any other error passes through."""
    try:
        parse(text, "the.env")
    except UsageError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("key", sorted(READERS))
@given(value=st.text(min_size=1, max_size=60))
@hypothesis_settings(max_examples=30, deadline=None)
def test_no_value_whatever_is_more_than_a_usage_error(key: str, value: str) -> None:
    assert said_of(f"{key}={value}")[:7] in ("", "the.env")


@given(st.text())
def test_no_text_whatever_is_more_than_a_usage_error(text: str) -> None:
    assert said_of(text)[:7] in ("", "the.env")


class TestKeys:
    @pytest.mark.parametrize(
        ("key", "near"),
        [("PROT", "PORT"), ("port", "PORT"), ("TELEGRAM_TOKEN", "TELEGRAM_BOT_TOKEN"), ("ALLOWED", "ALLOWED_USERS")],
    )  # fmt: skip
    def test_an_unknown_key_suggests_the_one_that_was_meant(self, key: str, near: str) -> None:
        assert error_of(f"PORT=1\n{key}=2") == f"the.env, line 2: unknown setting {key}; did you mean {near}?"

    def test_a_secret_on_a_line_of_its_own_is_not_shown(self) -> None:
        with pytest.raises(UsageError) as refused:
            parse("c2VjcmV0LXNlY3JldC1zZWNyZXQ=\n", "the.env")
        assert "c2Vj" not in str(refused.value)

    def test_a_key_like_none_of_ours_points_to_the_example(self) -> None:
        assert (
            error_of("FROBNICATE=1")
            == "the.env, line 1: unknown setting FROBNICATE; see .env.example for every setting"
        )

    def test_a_key_that_stands_twice_names_both_lines(self) -> None:
        assert error_of("PORT=3001\n\nPORT=3002") == "the.env, line 3: PORT stands already in line 1"

    @pytest.mark.parametrize("line", ["PORT", "PORT 3000", "=3000", "3PORT=1", "PORT: 3000", "POR-T=1", TOKEN])
    def test_a_line_that_is_none_says_so_without_showing_it(self, line: str) -> None:
        assert error_of(f"\n{line}") == "the.env, line 2: expected KEY=VALUE"

    @pytest.mark.parametrize(
        "line", ["PORT=4000", "  PORT = 4000  ", "export PORT=4000", "\tPORT\t=\t4000", "PORT='4000'"]
    )
    def test_a_line_may_be_spaced_and_exported(self, line: str) -> None:
        assert parse(line, "the.env").port == 4000

    def test_one_port_for_both_is_refused(self) -> None:
        assert error_of("PORT=4000\nGATEWAY_PORT=4000") == (
            "the.env: PORT and GATEWAY_PORT are both 4000; give each its own"
        )
        assert "both 10254" in error_of("PORT=10254")


class TestValues:
    @pytest.mark.parametrize(
        ("written", "value"),
        [("a # comment", "a"), ("a#b", "a#b"), ("# all comment", ""), ("'a # b'", "a # b"), ('"a # b" # c', "a # b"),
         ('"it\'s"', "it's"), ("'say \"hi\"'", 'say "hi"'), ("a'b", "a'b"), ("' a '", " a "), ("a=b", "a=b")],
    )  # fmt: skip
    def test_quotes_and_comments(self, written: str, value: str) -> None:
        assert parse(f"MODEL={written}", "the.env").model == value

    @pytest.mark.parametrize("written", ["'a", '"a', "'a'b", '"a" b', "'", "\"a'", "'''"])
    def test_a_quote_that_is_not_closed_names_its_line(self, written: str) -> None:
        said = error_of(f"PORT=3001\nMODEL={written}secret")
        assert said.startswith("the.env, line 2: the quote ")
        assert "secret" not in said

    @pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
    def test_every_kind_of_line_end(self, end: str) -> None:
        assert parse(f"# first{end}PORT=4000{end}MODEL=a b{end}", "the.env").model == "a b"
        assert error_of(f"# first{end}{end}PORT=x").startswith("the.env, line 3:")

    @pytest.mark.parametrize("odd", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028"])
    def test_only_what_an_editor_calls_a_line_counts_as_one(self, odd: str) -> None:
        assert error_of(f"# a{odd}b\nMODEL=a{odd}b\nPORT=x").startswith("the.env, line 3: PORT")


class TestTheFile:
    def load(self, tmp_path: Path, content: bytes) -> Settings:
        path = tmp_path / ".env"
        path.write_bytes(content)
        return settings.load(path)

    def line_of(self, tmp_path: Path, content: bytes) -> str:
        with pytest.raises(UsageError) as caught:
            self.load(tmp_path, content)
        where, _, what = str(caught.value).partition(", ")
        assert where == str(tmp_path / ".env")
        return what

    def test_a_tenant_without_one_has_the_defaults(self, tmp_path: Path) -> None:
        assert settings.load(tmp_path / ".env") == Settings() == self.load(tmp_path, b"")

    def test_a_byte_order_mark_is_no_part_of_the_first_key(self, tmp_path: Path) -> None:
        assert self.load(tmp_path, "\ufeffPORT=4000\nASSISTANT_NAME=Klåd".encode()).port == 4000

    @pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
    @pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
    def test_what_is_not_utf_8_names_its_line(self, tmp_path: Path, mark: bytes, end: bytes) -> None:
        assert self.line_of(tmp_path, mark + end + b"\xff") == "line 2: not UTF-8 text"
        assert self.line_of(tmp_path, mark + b"PORT=1" + end * 2 + b"ASSISTANT_NAME=\xe5") == "line 3: not UTF-8 text"

    def test_what_another_editor_calls_unicode_is_refused_in_words(self, tmp_path: Path) -> None:
        assert self.line_of(tmp_path, "PORT=4000\n".encode("utf-16")) == "line 1: not UTF-8 text"
        assert self.line_of(tmp_path, "PORT=4000\n".encode("utf-16-le")) == "line 1: a NUL byte"

    def test_a_nul_byte_names_its_line(self, tmp_path: Path) -> None:
        assert self.line_of(tmp_path, b"PORT=4000\r\nMODEL=a\0b") == "line 2: a NUL byte"

    def test_a_directory_in_its_place_is_one_line(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="can't be read: Is a directory"):
            settings.load(tmp_path)


class TestWhatIsNotThereYet:
    def test_keys_that_nothing_acts_on_are_named(self) -> None:
        assert Settings().not_yet() == ()
        assert parse("EGRESS=pypi.org\nMODEL=claude\nDAILY_BUDGET_USD=0", "the.env").not_yet() == (
            "EGRESS",
            "MODEL",
            "DAILY_BUDGET_USD",
        )

    @pytest.mark.parametrize(("key", "value"), [("RUNTIME", "process"), ("GATEWAY_VIA", "relay")])
    def test_a_word_of_the_contract_that_is_not_there_yet_says_so(self, key: str, value: str) -> None:
        assert f"({value} is not available yet)" in error_of(f"{key}={value}")


def test_without_a_token_a_tenant_talks_through_the_embedded_bot_api() -> None:
    assert Settings().embedded
    assert not parse(f"TELEGRAM_BOT_TOKEN={TOKEN}", "the.env").embedded
