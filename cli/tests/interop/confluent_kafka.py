"""A client that knows nothing of Millstream: confluent-kafka with its Avro serializers.

Sends three ReserveProduct commands for one product, none with a `meta`, in the three ways in which
an AvroSerializer finds its schema, and reads the results with an AvroDeserializer:

1. `auto.register.schemas`, with a schema of its own that has no field `meta`;
2. `use.latest.version`, without registering;
3. neither: the schema is looked up in the registry, `meta` is None.

Prints one JSON line per record that it sent or saw. Exit status 0 only when all is as expected; what
is not is said on stderr.

    pip install -r requirements.txt
    python confluent_kafka.py --bootstrap localhost:9092 --registry http://localhost:8081 \
        --topic product-reservations
"""

import argparse
import json
import os
import sys
import time
import uuid

# This file has the name of the package that it uses: its own folder must not be searched.
sys.path = [p for p in sys.path if os.path.abspath(p or ".") != os.path.dirname(os.path.abspath(__file__))]

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition  # noqa: E402
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient  # noqa: E402
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer  # noqa: E402
from confluent_kafka.schema_registry.error import SchemaRegistryError  # noqa: E402
from confluent_kafka.serialization import MessageField, SerializationContext  # noqa: E402

# What a team would write that has read the topic's description and wants nothing else.
OWN_SCHEMA = json.dumps(
    {
        "type": "record",
        "name": "ReserveProduct",
        "namespace": "millstream.product_reservations",
        "fields": [{"name": "reservation_id", "type": "string"}],
    }
)


def say(**line):
    print(json.dumps(line, default=str), flush=True)


def registered_schema(registry, subject):
    """The newest registered version that has the field `meta`."""
    try:
        versions = sorted(registry.get_versions(subject), reverse=True)
    except SchemaRegistryError as error:
        raise SystemExit(f"subject {subject}: {error}; run `millstream apply`, then start this again")
    for version in versions:
        text = registry.get_version(subject, version).schema.schema_str
        if any(field["name"] == "meta" for field in json.loads(text)["fields"]):
            return text
    raise SystemExit(f"no version of {subject} has a field meta; run `millstream apply`")


def serializers(registry, subject):
    """(how the schema is found, serializer, whether its schema has the field `meta`)"""
    registered = registered_schema(registry, subject)
    latest = registry.get_latest_version(subject).schema.schema_str
    yield "auto.register.schemas", AvroSerializer(registry, OWN_SCHEMA), False
    yield (
        "use.latest.version",
        AvroSerializer(
            registry, latest, conf={"auto.register.schemas": False, "use.latest.version": True}
        ),
        True,
    )
    yield (
        "looked up",
        AvroSerializer(registry, registered, conf={"auto.register.schemas": False}),
        True,
    )


def from_here(bootstrap, topic):
    """A consumer of the topic from its present end."""
    consumer = Consumer(
        {"bootstrap.servers": bootstrap, "group.id": f"interop-{uuid.uuid4()}", "enable.auto.commit": False}
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


def records_of(consumer, registry, topic, key, count, deadline):
    """The first `count` records of this key, decoded by the schema that they were written with."""
    deserialize = AvroDeserializer(registry)
    found = []
    while len(found) < count and time.monotonic() < deadline:
        message = consumer.poll(0.2)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        if message.key() != key.encode():
            continue
        value = deserialize(message.value(), SerializationContext(topic, MessageField.VALUE))
        schema_id = int.from_bytes(message.value()[1:5], "big")
        say(saw=topic, key=key, offset=message.offset(), magic=message.value()[0], schema_id=schema_id, value=value)
        found.append((schema_id, value))
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bootstrap", required=True, help="Kafka, host:port")
    parser.add_argument("--registry", required=True, help="URL of the schema registry")
    parser.add_argument("--topic", required=True, help="the topic of the commands")
    parser.add_argument("--results", help="the topic of the results, <topic>-results by default")
    parser.add_argument("--timeout", type=float, default=30, help="seconds to wait for the results")
    arguments = parser.parse_args()
    topic, results = arguments.topic, arguments.results or f"{arguments.topic}-results"

    registry = SchemaRegistryClient({"url": arguments.registry})
    commands_reader = from_here(arguments.bootstrap, topic)
    results_reader = from_here(arguments.bootstrap, results)
    # Java's partitioner: librdkafka's own would put the key on another partition.
    producer = Producer({"bootstrap.servers": arguments.bootstrap, "partitioner": "murmur2_random"})

    product = f"interop-{uuid.uuid4()}"
    first, other = f"{product}-1", f"{product}-2"
    expected = [(first, True), (other, False), (first, True)]
    context = SerializationContext(topic, MessageField.VALUE)
    failures, undelivered = [], []
    sent_ids = []
    for (reservation, _), (how, serialize, has_meta) in zip(expected, serializers(registry, f"{topic}-value")):
        value = {"reservation_id": reservation}
        if has_meta:
            value["meta"] = None
        payload = serialize(value, context)
        sent_ids.append(int.from_bytes(payload[1:5], "big"))
        producer.produce(
            topic,
            key=product,
            value=payload,
            on_delivery=lambda error, _: undelivered.append(str(error)) if error else None,
        )
        say(sent=topic, key=product, schema=how, schema_id=sent_ids[-1], value=value)
    producer.flush(10)
    failures += [f"not delivered: {error}" for error in undelivered]

    deadline = time.monotonic() + arguments.timeout
    seen = records_of(commands_reader, registry, topic, product, len(expected), deadline)
    found = records_of(results_reader, registry, results, product, len(expected), deadline)
    if [schema_id for schema_id, _ in seen] != sent_ids:
        failures.append(f"sent schema ids {sent_ids}, saw {[schema_id for schema_id, _ in seen]}")
    if [value["reservation_id"] for _, value in seen] != [reservation for reservation, _ in expected]:
        failures.append(f"the commands came back as {[value for _, value in seen]}")
    # The registry must give one text one id, however it is sent.
    own_id = registry.lookup_schema(f"{topic}-value", Schema(json.dumps(json.loads(OWN_SCHEMA), indent=2), "AVRO"))
    if own_id.schema_id != sent_ids[0]:
        failures.append(f"the schema with other white space has id {own_id.schema_id}, not {sent_ids[0]}")
    got = [(value.get("reservation_id"), value.get("reserved")) for _, value in found]
    if got != expected:
        failures.append(f"expected the results {expected}, saw {got}")
    for _, value in found:
        if not (value.get("meta") or {}).get("id"):
            failures.append(f"a result without meta.id: {value}")
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
