"""Output in bounded memory."""

from __future__ import annotations

from agent.tools.output import Output, tidy


def test_short_output_is_kept_whole_whatever_its_pieces() -> None:
    output = Output(head=4, tail=4)
    for piece in (b"a", b"bcd", b"ef", b"gh"):
        output.add(piece)
    assert output.complete
    assert output.text() == "abcdefgh"


def test_long_output_keeps_head_and_tail_and_says_what_is_missing() -> None:
    output = Output(head=3, tail=3)
    for piece in (b"ab", b"cdefgh", b"i" * 10, b"yz"):
        output.add(piece)
    assert not output.complete
    assert output.text("/f") == "abc\n[… 14 of 20 bytes left out; see /f …]\niyz"


def test_the_last_characters_are_whole_ones() -> None:
    output = Output(head=10, tail=10)
    output.add(b"abc\xc3\xa5\xc3")
    assert output.last(3) == "cå\ufffd"


def test_escapes_control_characters_and_what_a_progress_bar_overwrote_are_left_out() -> None:
    assert tidy("\x1b[1;31mred\x1b[0m\r\n10%\r50%\r100%\nx\0y\x1b]0;title\x07z\r") == "red\n100%\nx\ufffdyz"


def test_a_line_without_end_takes_no_longer_than_its_length() -> None:
    assert tidy("\x1b[" + "x" * 1_000_000) == "x" * 999_999
    assert tidy("\x1b]" * 300_000 + "\r" * 300_000) == ""
