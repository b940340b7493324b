"""A first transfer: opens two accounts, pays in 100.00 GBP, and shows that asking twice is safe.

    python3 -m venv venv && venv/bin/pip install -r api/clients/python/requirements.txt
    venv/bin/python api/clients/python/first_transfer.py 127.0.0.1:4600
"""
import sys
import uuid

import grpc

import stubs  # noqa: F401  (makes the next import work)
from ducat.v1 import ledger_pb2 as pb
from ducat.v1.ledger_pb2_grpc import LedgerStub

BANK, ANNA = 1, 2  # the world outside, and a customer

address = sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:4600"
ledger = LedgerStub(grpc.insecure_channel(address))

ledger.CreateAccounts(pb.CreateAccountsRequest(accounts=[
    pb.NewAccount(id=BANK, currency="GBP", external=True),
    pb.NewAccount(id=ANNA, currency="GBP"),
]))

# The id is yours: send the same one again after a lost answer, and the money moves once.
id = uuid.uuid4().int
transfer = pb.TransferRequest(
    id=id & (2**64 - 1), id_high=id >> 64,
    debit_account=BANK, credit_account=ANNA,
    amount="100.00", currency="GBP", kind=pb.TRANSFER_KIND_DEPOSIT,
)
for attempt in ("first", "again"):
    outcome = ledger.Transfer(transfer).outcome
    print(f"{attempt}: {pb.Code.Name(outcome.code)} at LSN {outcome.lsn}, "
          f"repeat: {outcome.repeat}, balance: {outcome.credit.posted_minor / 100:.2f} GBP")
