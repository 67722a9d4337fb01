"""The chain detects every change: of a field, an entry, the order, the end, the key."""

from __future__ import annotations

import hmac

from hypothesis import given
from hypothesis import strategies as st

from interlock.core.audit import GENESIS, Flaw, Record, Sealer, Verifier, Witness, encode, key_id

KEY = b"k" * 32
OTHER = b"o" * 32
Log = list[tuple[Record, str]]

_FIELDS = Record._fields
texts = st.text(max_size=8)


def a_record(seq: int = 1, **over: object) -> Record:
    values: dict[str, object] = {
        "chain": "chn_1",
        "seq": seq,
        "at": 1_000 + seq,
        "kind": "action.decided",
        "run": "run_1",
        "agent": "refund-bot",
        "workflow": "refunds",
        "tool": "crm.lookup",
        "action": "",
        "person": "",
        "body": '{"verdict":"allow"}',
    }
    return Record(**(values | over))  # pyright: ignore[reportArgumentType]


def sealed(records: list[Record], key: bytes = KEY, previous: str = GENESIS) -> Log:
    log: Log = []
    for record in records:
        previous = Sealer(key).mac(previous, record)
        log.append((record, previous))
    return log


def a_log(length: int = 5) -> Log:
    return sealed([a_record(seq) for seq in range(1, length + 1)])


def flaws(log: Log, *witnesses: Witness, key: bytes | None = KEY) -> list[Flaw]:
    verifier = Verifier(lambda _chain: key, witnesses)
    for record, mac in log:
        verifier.add(record, mac)
    return verifier.finish()


def codes(log: Log, *witnesses: Witness) -> list[tuple[str, int]]:
    return [(flaw.code, flaw.seq) for flaw in flaws(log, *witnesses)]


def head(log: Log, *, by: str = "checkpoint", last: bool = False) -> Witness:
    record, mac = log[-1]
    return Witness(chain=record.chain, seq=record.seq, mac=mac, by=by, last=last)


def test_an_untouched_log_verifies_and_is_counted() -> None:
    log = a_log()
    other = sealed([a_record(seq, chain="chn_2") for seq in (1, 2)])
    verifier = Verifier(lambda _chain: KEY, [head(log), head(other, last=True)])
    for record, mac in [log[0], other[0], *log[1:], other[1]]:
        verifier.add(record, mac)
    assert verifier.finish() == []
    assert (verifier.entries, verifier.chains) == (7, 2)


def test_a_changed_entry_is_named_and_its_neighbours_are_not() -> None:
    log = a_log()
    log[2] = (log[2][0]._replace(tool="payments.refund"), log[2][1])
    (flaw,) = flaws(log)
    assert (flaw.code, flaw.chain, flaw.seq) == ("changed", "chn_1", 3)
    assert flaw.message == "entry 3 is not as written"


def test_changed_entries_side_by_side_are_one_finding() -> None:
    log = a_log()
    log[1] = (log[1][0]._replace(tool="x"), log[1][1])
    log[2] = (log[2][0]._replace(tool="x"), log[2][1])
    assert [(flaw.code, flaw.message) for flaw in flaws(log)] == [
        ("changed", "entries 2 to 3 are not as written")
    ]


def test_a_changed_entry_before_a_gap_is_found_as_well() -> None:
    log = a_log()
    log[1] = (log[1][0]._replace(tool="x"), log[1][1])
    del log[2]
    assert codes(log) == [("changed", 2), ("deleted", 3)]


def test_a_changed_last_entry_is_a_change_and_no_rehash() -> None:
    log = a_log()
    log[4] = (log[4][0]._replace(body="{}"), log[4][1])
    assert codes(log) == [("changed", 5)]


def test_deleted_entries_are_named() -> None:
    log = a_log()
    assert [flaw.message for flaw in flaws([log[0], *log[3:]])] == ["entries 2 to 3 are missing"]
    assert codes(log[1:]) == [("deleted", 1)]


def test_a_log_out_of_order_says_so() -> None:
    first, second, third, *rest = a_log()
    assert ("reordered", 2) in codes([first, third, second, *rest])
    assert codes([first, first, second, third, *rest]) == [("repeated", 1)]


def test_a_truncated_log_is_found_by_its_witness() -> None:
    log = a_log()
    assert codes(log[:3], head(log)) == [("truncated", 4)]
    assert codes([], head(log)) == [("truncated", 1)]


def test_a_rehash_with_another_key_is_found_from_where_it_begins() -> None:
    log = a_log()
    forged = sealed([log[2][0]._replace(tool="x"), log[3][0], log[4][0]], OTHER, log[1][1])
    assert codes(log[:2] + forged) == [("rehashed", 3)]


def test_a_rewrite_with_the_true_key_is_found_by_its_witness() -> None:
    log = a_log()
    forged = sealed([record._replace(tool="x") for record, _mac in log])
    assert codes(forged) == []
    assert codes(forged, head(log)) == [("rewritten", 5)]


def test_entries_after_the_last_head_are_found() -> None:
    log = a_log()
    assert codes(log, head(log[:3], last=True)) == [("appended", 4)]
    assert codes(log, head(log[:3])) == []


def test_two_witnesses_that_saw_different_entries_mean_a_fork() -> None:
    log = a_log()
    fork = sealed([record._replace(tool="x") for record, _mac in log])
    assert codes(log, head(log), head(fork, by="another checkpoint")) == [("forked", 5), ("rewritten", 5)]


def test_a_witness_of_a_deleted_entry_adds_no_second_finding() -> None:
    log = a_log()
    assert codes(log[:2] + log[3:], head(log[:3])) == [("deleted", 3)]


def test_a_chain_without_its_key_is_not_called_good() -> None:
    assert [flaw.code for flaw in flaws(a_log(), key=None)] == ["key_missing"]


def test_the_name_of_a_key_depends_on_the_key_alone() -> None:
    assert key_id(KEY) == key_id(bytes(KEY))
    assert key_id(KEY) != key_id(OTHER)
    assert len(key_id(KEY)) == 16


records = st.builds(
    Record,
    chain=texts,
    seq=st.integers(1, 99),
    at=st.integers(0, 2**60),
    kind=texts,
    run=texts,
    agent=texts,
    workflow=texts,
    tool=texts,
    action=texts,
    person=texts,
    body=texts,
)


@given(records, records)
def test_no_two_records_encode_alike(one: Record, other: Record) -> None:
    assert (encode(one) == encode(other)) == (one == other)


@given(records, st.integers(0, 9), st.integers(0, 10))
def test_moving_text_between_neighbouring_fields_changes_the_encoding(
    record: Record, index: int, cut: int
) -> None:
    first, second = record[index], record[index + 1]
    if not isinstance(first, str) or not isinstance(second, str):
        return
    joined = first + second
    moved = record._replace(**{_FIELDS[index]: joined[:cut], _FIELDS[index + 1]: joined[cut:]})
    assert (encode(moved) == encode(record)) == (moved == record)


@given(st.integers(0, 7), st.sampled_from(Record._fields), st.data())
def test_any_single_field_change_is_detected(index: int, field: str, data: st.DataObject) -> None:
    log = a_log(8)
    record, mac = log[index]
    new = data.draw(st.integers(1, 99) if field in {"seq", "at"} else texts)
    if new == getattr(record, field):
        return
    log[index] = (record._replace(**{field: new}), mac)
    assert flaws(log, head(a_log(8)))


@given(st.integers(0, 7), st.binary(min_size=32, max_size=32))
def test_any_changed_mac_is_detected(index: int, mac: bytes) -> None:
    log = a_log(8)
    log[index] = (log[index][0], mac.hex())
    assert flaws(log, head(a_log(8)))


@given(st.integers(0, 7), st.integers(0, 7))
def test_any_swap_is_detected_by_place_and_by_content(one: int, other: int) -> None:
    log = a_log(8)
    placed = list(log)
    placed[one], placed[other] = log[other], log[one]
    renumbered = list(log)
    renumbered[one] = (log[other][0]._replace(seq=one + 1), log[other][1])
    renumbered[other] = (log[one][0]._replace(seq=other + 1), log[one][1])
    assert bool(flaws(placed, head(log))) == (one != other)
    assert bool(flaws(renumbered, head(log))) == (one != other)


@given(st.integers(0, 7), st.integers(1, 8))
def test_any_deletion_is_detected(start: int, length: int) -> None:
    log = a_log(8)
    assert flaws(log[:start] + log[start + length :], head(log))


@given(st.integers(0, 7), st.integers(1, 8))
def test_any_deletion_that_renumbers_the_rest_is_detected(start: int, length: int) -> None:
    log = a_log(8)
    rest = log[start + length :]
    moved = [(record._replace(seq=start + 1 + index), mac) for index, (record, mac) in enumerate(rest)]
    assert flaws(log[:start] + moved, head(log))


@given(st.integers(0, 7), st.binary(min_size=32, max_size=32))
def test_any_rehash_with_a_wrong_key_is_detected(start: int, key: bytes) -> None:
    if key == KEY:
        return
    log = a_log(8)
    previous = log[start - 1][1] if start else GENESIS
    forged = sealed([record for record, _mac in log[start:]], key, previous)
    assert flaws(log[:start] + forged)


@given(st.binary(min_size=1, max_size=100), texts)
def test_a_mac_is_an_hmac_that_anybody_can_check_with_their_own_tools(key: bytes, previous: str) -> None:
    record = a_record()
    expected = hmac.new(key, previous.encode() + encode(record), "sha256").hexdigest()
    assert Sealer(key).mac(previous, record) == expected
