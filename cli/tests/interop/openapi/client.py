"""A client in Python, made by openapi-python-client as the package `api`. Exit status 0 only when all is
as expected.

    python client.py http://localhost:8088
"""

import sys
import uuid

from api import Client
from api.api.accounts import post_accounts_account_deposits
from api.api.db_users import post_v1_topics_db_users_key
from api.api.product_reservations import post_reserve_product_reservation
from api.api.requests import create_ticket, get_request
from api.models import (
    DbUsersInsertUser,
    DbUsersInsertUserType,
    DbUsersReadUser,
    DbUsersReadUserType,
    MillstreamDbUsersInsertUser,
    MillstreamDbUsersUserReadResult,
    MillstreamDbUsersUserStoredResult,
    MillstreamProductReservationsProductReservedResult,
    Pending,
    PostAccountsAccountDepositsBody,
    Problem,
)

client = Client(base_url=sys.argv[1], raise_on_unexpected_status=True, timeout=60)
unique = f"python-{uuid.uuid4()}"


def expect(what, found, expected):
    if found != expected:
        sys.exit(f"{what}: {found!r}, not {expected!r}")


def send(body):
    return post_v1_topics_db_users_key.sync(unique, client=client, body=body, prefer="wait=30")


user = MillstreamDbUsersInsertUser(name="Ada", address="Bridge 5", credits_=3)
stored = send(DbUsersInsertUser(type_=DbUsersInsertUserType.INSERTUSER, data=user))
expect("what is stored", type(stored), MillstreamDbUsersUserStoredResult)
# Both results have the same fields; they are told apart all the same.
read = send(DbUsersReadUser(type_=DbUsersReadUserType.MILLSTREAM_DB_USERS_READUSER))
expect("what is read", type(read), MillstreamDbUsersUserReadResult)
expect("the user", (read.data.name, read.data.credits_), ("Ada", 3))

# The same number in another spelling, as JSON Schema has it.
deposit = PostAccountsAccountDepositsBody(amount_cents=1545.0)
balance = post_accounts_account_deposits.sync(unique, client=client, body=deposit, prefer="wait=30")
expect("the balance", balance.data.balance_cents, 1545)
deposit.amount_cents = 0.5
refused = post_accounts_account_deposits.sync(unique, client=client, body=deposit)
expect("the refusal", (type(refused), refused.code), (Problem, "invalid-request"))

reserve = post_reserve_product_reservation.sync_detailed
pending = reserve(unique, "r1", client=client, prefer="respond-async", idempotency_key=unique)
expect("the answer at once", (pending.status_code, type(pending.parsed)), (202, Pending))
expect("what was honoured", pending.headers["preference-applied"], "respond-async")
result = get_request.sync(pending.parsed.request, client=client, wait=30)
expect("the result", type(result), MillstreamProductReservationsProductReservedResult)
expect("the reservation", (result.data.reservation_id, result.data.reserved), ("r1", True))
expect("the position of the product's first result", result.meta.seq, 1)
ticket = create_ticket.sync(pending.parsed.request, client=client)
expect("the ticket", ticket.ticket in ticket.events, True)
print("Python: all as expected")
