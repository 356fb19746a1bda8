"""A reader that knows nothing of Millstream: each result once, whatever happens to the handlers.

Deposits a cent into each of some accounts, again and again, while the handlers of a dev stack are killed.
Then it produces every tenth record of the raw result topic once more, as an attempt does that was given up.
Each account's results say 1, 2, 3, ..: what a plain consumer of committed records has read of the topic
`<topic>-results-once` is compared with that. Of the raw topic, the copies are counted, so that it is seen
that there were some.

Prints one JSON line with what it counted. Exit status 0 only without duplicates and without anything
missing; what is not as expected is said on stderr. `once.mjs` reads the same beside it.

    pip install -r requirements.txt
    python once.py --dev-json .millstream/dev.json --run any --accounts 10 --deposits 400
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
import uuid

# A file beside this one has the name of the package that it uses.
sys.path = [p for p in sys.path if os.path.abspath(p or ".") != os.path.dirname(os.path.abspath(__file__))]

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition  # noqa: E402
from confluent_kafka.schema_registry import (  # noqa: E402
    SchemaRegistryClient,
    topic_record_subject_name_strategy,
)
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer  # noqa: E402
from confluent_kafka.serialization import MessageField, SerializationContext  # noqa: E402

TOPIC = "accounts"
RAW, ONCE = f"{TOPIC}-results", f"{TOPIC}-results-once"
SUBJECT = f"{TOPIC}-millstream.accounts.Deposit"


def from_here(bootstrap, topic):
    """A consumer of the topic from its present end, of committed records, as is the default."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": f"once-{uuid.uuid4()}", "enable.auto.commit": False}
    )
    metadata = consumer.list_topics(topic, timeout=10).topics[topic]
    if metadata.error is not None or not metadata.partitions:
        raise SystemExit(f"topic {topic}: {metadata.error}; run `millstream apply`, then start this again")
    ends = []
    for partition in metadata.partitions:
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=10)
        ends.append(TopicPartition(topic, partition, end))
    consumer.assign(ends)
    return consumer


def follow(consumer, accounts, take, is_complete, deadline):
    """Hands over the records of these accounts until all are there."""
    while not is_complete() and time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        if message.key() and message.key().decode() in accounts:
            take(message)


def kill_handlers(dev_json, times, over):
    """Kills the handlers, which the dev stack brings back each time."""
    known, killed = None, 0
    while killed < times and not over.is_set():
        over.wait(1.5)
        try:
            with open(dev_json) as file:
                pid = json.load(file)["pids"]["handlers"]
        except (OSError, ValueError, KeyError):
            continue
        if pid != known:
            os.kill(pid, signal.SIGKILL)
            known, killed = pid, killed + 1
    return killed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dev-json", required=True, help="where the dev stack says its endpoints")
    parser.add_argument("--run", required=True, help="what the names of the accounts begin with")
    parser.add_argument("--accounts", type=int, default=10)
    parser.add_argument("--deposits", type=int, default=400, help="of all accounts together")
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--timeout", type=float, default=90, help="seconds that all of it may take")
    arguments = parser.parse_args()
    with open(arguments.dev_json) as file:
        dev = json.load(file)
    bootstrap, deadline = dev["kafka"], time.monotonic() + arguments.timeout
    registry = SchemaRegistryClient({"url": dev["schema_registry"]})
    accounts = [f"{arguments.run}-{number}" for number in range(arguments.accounts)]
    # The last one of each closes: what comes before it on its partition has come then.
    each = arguments.deposits // arguments.accounts
    last = each + 1

    raw, once = from_here(bootstrap, RAW), from_here(bootstrap, ONCE)
    schema = registry.get_latest_version(SUBJECT).schema.schema_str
    several = {"auto.register.schemas": False, "subject.name.strategy": topic_record_subject_name_strategy}
    serialize = AvroSerializer(registry, schema, conf=several)
    deserialize = AvroDeserializer(registry)
    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "linger.ms": 5})
    undelivered, failures = [], []

    def deposit(account):
        value = {"amount_cents": 1, "movement_id": None, "meta": None}
        producer.produce(
            TOPIC,
            key=account,
            value=serialize(value, SerializationContext(TOPIC, MessageField.VALUE)),
            on_delivery=lambda error, _: undelivered.append(str(error)) if error else None,
        )

    def balance(topic, message):
        value = deserialize(message.value(), SerializationContext(topic, MessageField.VALUE))
        return value["balance_cents"]

    over, killed = threading.Event(), []
    killer = threading.Thread(
        target=lambda: killed.append(kill_handlers(arguments.dev_json, arguments.kills, over))
    )
    killer.start()
    for number in range(each):
        for account in accounts:
            deposit(account)
        producer.poll(0)
        time.sleep(6 / each)
    producer.flush(10)
    killer.join(timeout=30)
    over.set()

    # What the handlers have answered so far, and copies of it.
    records, answered = [], {account: set() for account in accounts}

    def take_raw(message):
        records.append(message)
        answered[message.key().decode()].add(balance(RAW, message))

    follow(raw, accounts, take_raw, lambda: all(len(it) == each for it in answered.values()), deadline)
    for message in records[::10]:
        producer.produce(RAW, key=message.key(), value=message.value(), headers=message.headers())
    producer.flush(10)
    for account in accounts:
        deposit(account)
    producer.flush(10)
    failures += [f"not delivered: {error}" for error in undelivered]

    seen = {account: [] for account in accounts}

    def take(message):
        seen[message.key().decode()].append(balance(ONCE, message))

    follow(once, accounts, take, lambda: all(last in it for it in seen.values()), deadline)
    # To the end of the raw topic, for its count of copies.
    follow(raw, accounts, take_raw, lambda: all(last in it for it in answered.values()), deadline)
    duplicates = sum(len(it) - len(set(it)) for it in seen.values())
    missing = sum(len(set(range(1, last + 1)) - set(it)) for it in seen.values())
    raw_duplicates = len(records) - sum(len(it) for it in answered.values())
    unordered = [account for account, it in seen.items() if it != sorted(it)]
    counted = {
        "client": "confluent-kafka",
        "topic": ONCE,
        "kills": killed[0] if killed else 0,
        "results": sum(len(it) for it in seen.values()),
        "duplicates": duplicates,
        "missing": missing,
        "raw_duplicates": raw_duplicates,
    }
    print(json.dumps(counted), flush=True)
    if duplicates or missing:
        failures.append(f"not each result once: {counted}")
    if unordered:
        failures.append(f"out of order: {unordered}")
    if counted["kills"] != arguments.kills:
        failures.append(f"the handlers were killed {counted['kills']} times of {arguments.kills}")
    if raw_duplicates < len(records[::10]) // 2:
        failures.append(f"hardly anything came twice on {RAW}: {counted}")
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
