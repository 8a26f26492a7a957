"""From a row of the outbox to Telegram's receipt."""

from __future__ import annotations

import itertools

from klad.ledger import Ledger
from klad.words import Outgoing
from tests.klad.ledger.support import HOME, Clock, do, query


def take(ledger: Ledger, chat: str = HOME) -> Outgoing:
    row = do(ledger.outbox_take(chat))
    assert row is not None
    return row


def say(ledger: Ledger, *texts: str, chat: str = HOME) -> None:
    for text in texts:
        do(ledger.say(chat, text))


def test_rows_are_given_in_order_and_one_after_the_other(ledger: Ledger) -> None:
    say(ledger, "one", "two", "three")
    given = []
    for number in itertools.count(1):
        row = do(ledger.outbox_take(HOME))
        if row is None:
            break
        given.append(row.text)
        do(ledger.outbox_sent(row.id, number))
    assert given == ["one", "two", "three"]


def test_a_later_row_never_overtakes_one_that_is_being_sent(ledger: Ledger) -> None:
    say(ledger, "one", "two")
    assert take(ledger).text == "one"
    assert take(ledger).text == "one"


def test_each_chat_has_its_own_queue(ledger: Ledger) -> None:
    say(ledger, "to 7", chat="7")
    say(ledger, "to 8", chat="8")
    assert sorted(do(ledger.outbox_chats())) == ["7", "8"]
    row = take(ledger, "7")
    do(ledger.outbox_sent(row.id, 1))
    assert do(ledger.outbox_chats()) == ["8"]
    assert take(ledger, "8").text == "to 8"
    assert do(ledger.outbox_take("7")) is None


def test_a_row_is_on_record_as_begun_before_it_is_handed_out(ledger: Ledger) -> None:
    say(ledger, "one")
    row = take(ledger)
    assert row.attempts == 1
    assert query(ledger, "SELECT state, attempts FROM outbox") == [("sending", 1)]


def test_a_crash_in_mid_send_shows_in_the_attempts_and_nothing_is_lost(ledger: Ledger, clock: Clock) -> None:
    say(ledger, "one", "two")
    row = take(ledger)
    do(ledger.outbox_part(row.id, 100))
    do(ledger.outbox_part(row.id, 101))
    ledger.close()
    again = Ledger.open(ledger.path, clock=clock)
    try:
        assert do(again.outbox_chats()) == [HOME]
        found = take(again)
        assert (found.id, found.attempts, found.sent_parts) == (row.id, 2, 2)
        do(again.outbox_sent(found.id, 102))
        assert take(again).attempts == 1
    finally:
        again.close()


def test_a_sent_row_keeps_its_receipt(ledger: Ledger, clock: Clock) -> None:
    say(ledger, "one")
    do(ledger.outbox_sent(take(ledger).id, 77))
    assert query(ledger, "SELECT state, telegram_id, sent_at FROM outbox") == [("sent", 77, clock.now)]


def test_a_refused_row_lets_the_next_one_pass(ledger: Ledger) -> None:
    say(ledger, "one", "two")
    do(ledger.outbox_failed(take(ledger).id, "Forbidden: bot was blocked by the user " + "x" * 999))
    assert take(ledger).text == "two"
    ((state, error),) = query(ledger, "SELECT state, error FROM outbox WHERE text = 'one'")
    assert state == "failed"
    assert len(error) == 500


def test_a_row_that_was_not_under_way_after_all_is_no_repeat(ledger: Ledger) -> None:
    say(ledger, "one")
    row = take(ledger)
    do(ledger.outbox_release(row.id))
    assert query(ledger, "SELECT state, attempts FROM outbox") == [("pending", 0)]
    assert take(ledger).attempts == 1
    do(ledger.outbox_sent(row.id, 1))
    do(ledger.outbox_release(row.id))
    assert do(ledger.outbox_take(HOME)) is None, "what was sent stays sent"


def test_settings_are_kept_and_replaced(ledger: Ledger) -> None:
    assert do(ledger.get_setting("offset")) is None
    do(ledger.set_setting("offset", "1"))
    do(ledger.set_setting("offset", "2"))
    assert do(ledger.get_setting("offset")) == "2"
    assert query(ledger, "SELECT COUNT(*) FROM setting") == [(1,)]
