#!/usr/bin/env python3
"""Checks a receipt of Ducat with the ledger's public key and nothing else.

    verify_receipt.py RECEIPT PUBLIC_KEY

Written from docs/RECEIPTS.md alone, with the standard library and `cryptography` for Ed25519.
Prints what the receipt proves and ends with 0, or says why it proves nothing and ends with 65.
`--self-test FILE PUBLIC_KEY` takes a JSON list of valid receipts and also checks that no
changed one passes.
"""
import base64
import copy
import datetime
import hashlib
import json
import re
import struct
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding, PublicFormat, load_pem_public_key)

CODES = ["POSTED", "LINKED_FAILED", "AMOUNT_ZERO", "AMOUNT_TOO_LARGE", "SAME_ACCOUNT",
         "DEBIT_ACCOUNT_UNKNOWN", "CREDIT_ACCOUNT_UNKNOWN", "ACCOUNTS_DIFFER_IN_CURRENCY",
         "CURRENCY_MISMATCH", "KIND_MISMATCH", "DEBIT_ACCOUNT_CLOSED", "CREDIT_ACCOUNT_CLOSED",
         "DEBIT_ACCOUNT_FROZEN", "CREDIT_ACCOUNT_FROZEN", "INSUFFICIENT_FUNDS",
         "BALANCE_OVERFLOW", "ID_REUSED", "HOLD_EXISTS", "HOLD_UNKNOWN", "HOLD_VOIDED",
         "HOLD_EXPIRED", "HOLD_CAPTURED", "HOLD_EXCEEDED", "HOLD_EXTENSION_TOO_SHORT"
         ] + [None] * 6 + [
         "DEBIT_ACCOUNT_BLOCKED", "CREDIT_ACCOUNT_BLOCKED", "DEBIT_ACCOUNT_FLOOR",
         "CREDIT_ACCOUNT_CEILING"] + [None] * 6 + [
         "ORIGINAL_UNKNOWN", "ORIGINAL_REFUSED", "ORIGINAL_MOVED_NOTHING", "ORIGINAL_IS_REFUND",
         "ORIGINAL_REVERSED", "ORIGINAL_REFUNDED", "REFUND_EXCEEDED"] + [None] * 3 + [
         "DEBIT_ACCOUNT_VERSION", "CREDIT_ACCOUNT_VERSION", "DEBIT_ACCOUNT_CONDITION",
         "CREDIT_ACCOUNT_CONDITION", "CREDIT_ACCOUNT_OWES_LESS", "SOURCES_FALL_SHORT",
         "AMOUNT_BELOW_MINIMUM"] + [None] * 3 + ["FEE_REFUSED", "FEE_ON_BALANCED"]
STATUSES = ["active", "frozen", "closed", "debits-blocked", "credits-blocked"]
KINDS = ["transfer", "deposit", "withdrawal", "payment", "refund", "fee", "adjustment", "interest"]
EVENTS = [None, "transfer", "account-opened", "status-changed", "asset-defined", "hold-placed",
          "hold-captured", "hold-voided", "hold-extended", "hold-expired", "hold-refused"
          ] + [None] * 9 + [
    "account-opened", "status-changed", "profile-changed", "limits-changed"
    ] + [None] * 16 + ["refunded", "refund-refused"] + [None] * 18 + ["fee", "fees-changed"
    ] + [None] * 18 + ["driven"]
NOTED = b"\x6e"
MAY_BE_NOTED = {"transfer", "hold-placed", "hold-captured", "hold-refused", "refunded",
                "refund-refused"}
NEVER = 2**64 - 1


class Invalid(Exception):
    """Why a receipt proves nothing."""


def need(condition, why):
    if not condition:
        raise Invalid(why)


class Reader:
    """The fields of a statement, one after the other."""

    def __init__(self, data):
        self.data = data

    def take(self, count):
        need(len(self.data) >= count, "the statement is cut off")
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def number(self, count, signed=False):
        return int.from_bytes(self.take(count), "big", signed=signed)

    def choice(self, values, what):
        number = self.number(1)
        need(number < len(values), f"the statement's {what} is out of range")
        return values[number]

    def name(self):
        value = self.number(16)
        need(value > 0, "an id is 0")
        if value < 1 << 64:
            return str(value)
        digits = f"{value:032x}"
        return "-".join([digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]])

    def flag(self):
        return self.choice([False, True], "flag")

    def currency(self):
        length = self.number(1)
        if length == 0:
            return None
        code, digits = self.take(length), self.number(1)
        need(re.fullmatch(rb"[A-Z][A-Z0-9]{1,11}", code) and digits <= 18, "no currency")
        return {"currency": code.decode(), "digits": digits}

    def bounds(self, digits):
        bounds = {}
        for name in ["floor", "ceiling"]:
            if self.choice([False, True], "bound flag"):
                bounds[name] = decimal(self.number(16, signed=True), digits)
        return bounds

    def side(self, digits):
        side = {"account": self.name()}
        if self.choice([False, True], "known flag"):
            side["posted"] = decimal(self.number(16, signed=True), digits)
            side["available"] = decimal(self.number(16, signed=True), digits)
        return side


def decimal(minor, digits):
    sign, text = "-" if minor < 0 else "", str(abs(minor)).rjust(digits + 1, "0")
    return sign + (f"{text[:-digits]}.{text[-digits:]}" if digits else text)


def time_text(nanoseconds):
    seconds, rest = divmod(nanoseconds, 10**9)
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + f".{rest:09}Z"


def decode(statement):
    """Ledger, shard and LSN of a statement, and what it says in words."""
    reader = Reader(statement)
    need(reader.take(16) == b"ducat statement\x01", "no statement of version 1")
    ledger, shard, lsn = reader.take(16).hex(), reader.number(4), reader.number(8)
    need(lsn > 0, "the LSN is 0")
    words = {"time": time_text(reader.number(8))}
    noted = reader.data[:1] == NOTED
    if noted:
        decode_note(reader, words)
    number = reader.data[:1]
    event = reader.choice(EVENTS, "event")
    need(event, "no event")
    need(not noted or event in MAY_BE_NOTED, "a note where none can be")
    in_full = number >= b"\x14"
    words["event"] = event
    if event == "transfer":
        words["id"] = reader.name()
        words["kind"] = reader.choice(KINDS, "kind")
        words["linked"] = reader.flag()
        words["outcome"] = reader.choice(CODES, "outcome")
        need(words["outcome"], "no outcome")
        amount, currency = reader.number(16), reader.currency()
        words.update(currency or {})
        digits = currency["digits"] if currency else 0
        words["amount"] = decimal(amount, digits)
        words["debit"], words["credit"] = reader.side(digits), reader.side(digits)
    elif event == "account-opened":
        words["account"] = reader.name()
        currency = reader.currency()
        need(currency, "no currency")
        words.update(currency)
        words["overdraft_limit"] = decimal(reader.number(16), currency["digits"])
        words["external"] = reader.flag()
        if in_full:
            words.update(reader.bounds(currency["digits"]))
            words["profile_sha256"] = reader.take(32).hex()
    elif event == "status-changed":
        words["account"] = reader.name()
        words["status"] = reader.choice(STATUSES if in_full else STATUSES[:3], "status")
        if in_full:
            words["reason_sha256"] = reader.take(32).hex()
    elif event == "limits-changed":
        words["account"] = reader.name()
        words["overdraft_limit"] = str(reader.number(16))
        words.update(reader.bounds(0))
    elif event == "profile-changed":
        words["account"] = reader.name()
        words["change_sha256"] = reader.take(32).hex()
    elif event == "hold-refused":
        decode_refused_hold(reader, words)
    elif event == "refunded":
        decode_refund(reader, words)
    elif event == "refund-refused":
        decode_refused_refund(reader, words)
    elif event == "fee":
        words["id"] = reader.name()
        words["outcome"] = reader.choice(CODES, "outcome")
        need(words["outcome"], "no outcome")
        words["schedule"] = reader.number(8)
        need(words["schedule"] < 1 << 32, "no schedule's number")
        amount, currency = reader.number(16), reader.currency()
        need(currency, "no currency")
        words.update(currency)
        digits = currency["digits"]
        words["amount"] = decimal(amount, digits)
        words["debit"], words["credit"] = reader.side(digits), reader.side(digits)
    elif event == "fees-changed":
        words["change_sha256"] = reader.take(32).hex()
    elif event == "driven":
        words["event"] = "saga" if reader.flag() else "schedule"
        words["id"], words["change_sha256"] = reader.name(), reader.take(32).hex()
    elif event and event.startswith("hold-"):
        decode_hold(reader, words)
    else:
        need(event == "asset-defined", "no event")
        currency = reader.currency()
        need(currency, "no currency")
        words.update(currency)
    need(not reader.data, "bytes follow the statement")
    return ledger, shard, lsn, words


def expiry_text(nanoseconds):
    return "never" if nanoseconds == NEVER else time_text(nanoseconds)


def decode_note(reader, words):
    """What was said: its day, if one was named, and the digest of the texts."""
    reader.take(1)
    if reader.flag():
        days = reader.number(4, signed=True)
        try:
            day = datetime.date(1970, 1, 1) + datetime.timedelta(days=days)
        except OverflowError:
            raise Invalid("no value date") from None
        words["value_date"] = day.isoformat()
    words["note_sha256"] = reader.take(32).hex()


def digest_of_note(note):
    texts = [note[name].encode() for name in ["reference", "description"]]
    return hashlib.sha256(b"".join(struct.pack(">I", len(t)) + t for t in texts)).hexdigest()


def decode_refund(reader, words):
    """Money given back."""
    words["id"], words["linked"], words["outcome"] = reader.name(), reader.flag(), "DONE"
    refund = {"of": reader.name(), "lsn": reader.number(8)}
    refund["reversal"], refund["allow_overdraft"] = reader.flag(), reader.flag()
    amount, moved, refunded = reader.number(16), reader.number(16), reader.number(16)
    currency = reader.currency()
    need(currency, "no currency")
    words.update(currency)
    digits = currency["digits"]
    words["amount"] = decimal(amount, digits)
    refund["moved"], refund["refunded"] = decimal(moved, digits), decimal(refunded, digits)
    words["debit"], words["credit"] = reader.side(digits), reader.side(digits)
    words["refund"] = refund


def decode_refused_refund(reader, words):
    """A refund that was refused."""
    words["id"], words["linked"] = reader.name(), reader.flag()
    words["outcome"] = reader.choice(CODES, "outcome")
    need(words["outcome"] not in (None, "POSTED"), "refused for nothing")
    refund = {"of": reader.name()}
    if reader.flag():
        refund["named_lsn"] = reader.number(8)
    amount = reader.number(16) if reader.flag() else None
    refund["reversal"], refund["allow_overdraft"] = amount is None, reader.flag()
    currency = reader.currency()
    words.update(currency or {})
    digits = currency["digits"] if currency else 0
    if amount is not None:
        words["amount"] = decimal(amount, digits)
    if reader.flag():
        refund["lsn"] = reader.number(8)
        refund["moved"] = decimal(reader.number(16), digits)
        refund["refunded"] = decimal(reader.number(16), digits)
        refund["reversed"] = reader.flag()
        words["debit"], words["credit"] = reader.side(digits), reader.side(digits)
    words["refund"] = refund


def decode_hold(reader, words):
    """What was done to a hold. The amounts come before the currency that says their digits."""
    event, hold, amounts = words["event"], {}, {}
    if event != "hold-expired":
        words["id"], words["outcome"] = reader.name(), "DONE"
        hold["id"] = words["id"]
        if event == "hold-placed":
            words["kind"] = reader.choice(KINDS, "kind")
        words["linked"] = reader.flag()
    if event == "hold-placed":
        amounts["amount"] = reader.number(16)
    else:
        hold["id"] = reader.name()
    if event == "hold-captured":
        hold["all"], hold["last"] = reader.flag(), reader.flag()
        amounts["amount"] = reader.number(16)
    if event == "hold-extended":
        hold["timeout_ns"], hold["expires"] = reader.number(8), expiry_text(reader.number(8))
        amounts["remaining"] = reader.number(16)
    elif event != "hold-placed":
        amounts["released"] = reader.number(16)
    if event == "hold-captured":
        amounts["remaining"] = reader.number(16)
    currency = reader.currency()
    need(currency, "no currency")
    words.update(currency)
    digits = currency["digits"]
    if event == "hold-placed":
        hold["timeout_ns"] = reader.number(8)
        amounts["over_capture_max"] = reader.number(16)
    for field, minor in amounts.items():
        (words if field == "amount" else hold)[field] = decimal(minor, digits)
    words["debit"] = reader.side(digits)
    if event == "hold-placed":
        words["account"] = reader.name()
    elif event == "hold-captured":
        words["credit"] = reader.side(digits)
    words["hold"] = hold


def decode_refused_hold(reader, words):
    """An operation on a hold that was refused."""
    words["id"], words["linked"] = reader.name(), reader.flag()
    words["outcome"] = reader.choice(CODES, "outcome")
    need(words["outcome"] != "POSTED", "refused for nothing")
    asked = reader.choice([None, "place", "capture", "void", "extend"], "operation")
    need(asked, "no operation")
    hold, amounts = {"asked": asked}, {}
    if asked == "place":
        hold["id"], words["kind"] = words["id"], reader.choice(KINDS, "kind")
        amounts["amount"] = reader.number(16)
        hold["timeout_ns"] = reader.number(8)
        amounts["over_capture_max"] = reader.number(16)
    else:
        hold["id"] = reader.name()
    if asked == "capture":
        named = reader.flag()
        if named:
            amounts["amount"] = reader.number(16)
        hold["all"], hold["last"] = not named, reader.flag()
    elif asked == "extend":
        hold["timeout_ns"] = reader.number(8)
    currency = reader.currency()
    words.update(currency or {})
    digits = currency["digits"] if currency else 0
    for side in ["debit", "credit"]:
        if reader.flag():
            words[side] = reader.side(digits)
    if reader.flag():
        amounts["remaining"], amounts["open_tolerance"] = reader.number(16), reader.number(16)
        hold["expires"] = expiry_text(reader.number(8))
    for field, minor in amounts.items():
        (words if field == "amount" else hold)[field] = decimal(minor, digits)
    words["hold"] = hold


def root_of(leaf, index, size, path):
    """RFC 9162, 2.1.3.2."""
    need(index < size, "the event lies beyond what was signed")
    at, last, found = index, size - 1, leaf
    for sibling in path:
        need(last > 0, "the path is too long")
        if at & 1 or at == last:
            found = hashlib.sha256(b"\x01" + sibling + found).digest()
            while not at & 1 and at:
                at, last = at >> 1, last >> 1
        else:
            found = hashlib.sha256(b"\x01" + found + sibling).digest()
        at, last = at >> 1, last >> 1
    need(last == 0, "the path is too short")
    return found


LINES = re.compile(
    r"(?P<origin>ducat/(?P<ledger>[0-9a-f]{32})/(?P<shard>0|[1-9][0-9]*))\n"
    r"(?P<size>0|[1-9][0-9]*)\n(?P<root>[A-Za-z0-9+/]{43}=)\nnumber (?P<number>0|[1-9][0-9]*)\n"
    r"journal [0-9a-f]{64}\ntime (0|[1-9][0-9]*)\nsigned (?P<signed>0|[1-9][0-9]*)\n"
    r"previous (none|[0-9a-f]{64})\n\n"
    "\N{EM DASH} (?P=origin) (?P<signature>[A-Za-z0-9+/]{91}=)\n", re.ASCII)


def exact_base64(text):
    data = base64.b64decode(text, validate=True)
    need(base64.b64encode(data).decode() == text, "base64 written in another way")
    return data


def check_checkpoint(text, public_key):
    """The checkpoint's fields, once its signature was checked."""
    found = LINES.fullmatch(text)
    need(found, "the checkpoint is none")
    raw = public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)
    signed = exact_base64(found["signature"])
    name = hashlib.sha256(found["origin"].encode() + b"\n\x01" + raw).digest()[:4]
    need(signed[:4] == name, "the checkpoint is signed by another key")
    body = text[:text.index("\n\n") + 1].encode()
    try:
        public_key.verify(signed[4:], body)
    except InvalidSignature:
        raise Invalid("the checkpoint's signature is wrong") from None
    return found


def strict_object(pairs):
    need(len({name for name, _ in pairs}) == len(pairs), "a field stands there twice")
    return dict(pairs)


FIELDS = {"format", "version", "ledger_id", "shard", "lsn", "event", "statement", "path",
          "tree_size", "checkpoint"}


def same(a, b):
    """Equal, and of the same types: True is not 1 here."""
    return json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True)


def check(receipt, public_key):
    """What a receipt proves, in words."""
    need(isinstance(receipt, dict) and set(receipt) - {"note"} == FIELDS,
         "fields are missing or too many")
    need(same([receipt["format"], receipt["version"]], ["ducat receipt", 1]), "no receipt")
    need(isinstance(receipt["statement"], str), "no statement")
    statement = bytes.fromhex(receipt["statement"])
    need(statement.hex() == receipt["statement"], "hexadecimal written in another way")
    ledger, shard, lsn, words = decode(statement)
    need(same([receipt["ledger_id"], receipt["shard"], receipt["lsn"]], [ledger, shard, lsn]),
         "ledger_id, shard or lsn is not that of the statement")
    need(same(receipt["event"], words), "the words are not those of the statement")
    if "note" in receipt:
        note = receipt["note"]
        need(isinstance(note, dict) and set(note) == {"reference", "description"}
             and all(isinstance(text, str) for text in note.values())
             and words.get("note_sha256") == digest_of_note(note), "the note is another")
    path = receipt["path"]
    need(isinstance(path, list) and len(path) <= 64
         and all(isinstance(p, str) and re.fullmatch("[0-9a-f]{64}", p) for p in path), "no path")
    need(isinstance(receipt["checkpoint"], str), "no checkpoint")
    checkpoint = check_checkpoint(receipt["checkpoint"], public_key)
    need(checkpoint["ledger"] == ledger and int(checkpoint["shard"]) == shard, "another ledger's")
    need(same(receipt["tree_size"], int(checkpoint["size"])), "tree_size is not the checkpoint's")
    leaf = hashlib.sha256(b"\x00" + statement).digest()
    root = root_of(leaf, lsn - 1, receipt["tree_size"], [bytes.fromhex(p) for p in path])
    need(root == exact_base64(checkpoint["root"]), "the statement is not part of what was signed")
    return {"ledger_id": ledger, "lsn": lsn, "event": words, **shown_note(receipt),
            "checkpoint": int(checkpoint["number"]), "signed": time_text(int(checkpoint["signed"]))}


def shown_note(receipt):
    """What was said, where the receipt shows it."""
    return {"note": receipt["note"]} if "note" in receipt else {}


def load(data):
    need(len(data) <= 64 * 1024, "too long")
    try:
        return json.loads(data.decode("utf-8"), object_pairs_hook=strict_object)
    except ValueError as error:
        raise Invalid(f"no JSON: {error}") from None


def verify(data, public_key):
    try:
        return check(load(data), public_key)
    except (ValueError, TypeError, struct.error, OverflowError) as error:
        raise Invalid(str(error)) from None


def read_key(path):
    with open(path, "rb") as file:
        key = load_pem_public_key(file.read())
    need(isinstance(key, Ed25519PublicKey), "the key is not Ed25519")
    return key


def refused(data, public_key):
    try:
        verify(data, public_key)
    except Invalid:
        return True
    return False


def self_test(receipts, public_key):
    """Every receipt passes, none of its changed forms does."""
    changed = 0
    for receipt in receipts:
        verify(json.dumps(receipt).encode(), public_key)
        if "note" in receipt:
            hidden = {field: value for field, value in receipt.items() if field != "note"}
            verify(json.dumps(hidden).encode(), public_key)
            for text in ["reference", "description"]:
                told = {**receipt, "note": {**receipt["note"], text: "something else"}}
                assert refused(json.dumps(told).encode(), public_key), text
                changed += 1
        for field in FIELDS:
            for other in [r[field] for r in receipts] + [None, 0, 1, "", [], {}]:
                if not same(other, receipt[field]):
                    mixed = copy.deepcopy(receipt)
                    mixed[field] = other
                    assert refused(json.dumps(mixed).encode(), public_key), (field, other)
                    changed += 1
    data = json.dumps(receipts[0], ensure_ascii=False).encode()
    for at in range(len(data)):
        for bit in range(8):
            flipped = data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1:]
            assert refused(flipped, public_key), (at, bit)
            changed += 1
    assert refused(json.dumps(receipts[0]).encode(), other_key()), "another key"
    print(f"{len(receipts)} receipts are valid, {changed} changed ones are refused")


def other_key():
    return Ed25519PublicKey.from_public_bytes(bytes.fromhex(
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"))


def main(arguments):
    testing = arguments[:1] == ["--self-test"]
    paths = arguments[1:] if testing else arguments
    if len(paths) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    key = read_key(paths[1])
    with open(paths[0], "rb") as file:
        data = file.read()
    if testing:
        self_test(json.loads(data), key)
        return 0
    try:
        print(json.dumps(verify(data, key), ensure_ascii=False, indent=2))
    except Invalid as why:
        print(f"{paths[0]} proves nothing: {why}", file=sys.stderr)
        return 65
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
