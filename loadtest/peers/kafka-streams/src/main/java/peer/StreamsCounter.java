package peer;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.time.Duration;
import java.util.Properties;
import org.apache.avro.generic.GenericRecord;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.state.KeyValueStore;

/** The keyed count in Kafka Streams. It consumes between the lines "start" and "stop" of its input. */
public final class StreamsCounter {
  private StreamsCounter() {}

  public static void main(String[] arguments) throws Exception {
    var results = setting("PEER_RESULTS");
    var avro = new Avro(setting("PEER_REGISTRY"), results, setting("PEER_RESULT_SCHEMA"));
    var topology = topology(setting("PEER_TOPIC"), results, avro);
    KafkaStreams streams = null;
    var lines = new BufferedReader(new InputStreamReader(System.in));
    for (var line = lines.readLine(); line != null; line = lines.readLine()) {
      if (streams != null) {
        streams.close(Duration.ofSeconds(20));
        streams = null;
      }
      if (line.equals("start")) {
        streams = new KafkaStreams(topology, settings());
        streams.start();
      }
      System.out.println(line);
    }
    System.exit(0);
  }

  private static Topology topology(String commands, String results, Avro avro) {
    var text = Serdes.String();
    Serde<GenericRecord> records =
        Serdes.serdeFrom(
            (topic, record) -> record == null ? null : avro.encode(record),
            (topic, value) -> value == null ? null : avro.decode(value));
    var builder = new StreamsBuilder();
    builder.stream(commands, Consumed.with(text, records))
        .groupByKey(Grouped.with(text, records))
        // Every command has its own result: without the cache none is left out.
        .count(
            Materialized.<String, Long, KeyValueStore<Bytes, byte[]>>as("counts")
                .withCachingDisabled())
        .toStream()
        .mapValues(avro::counted)
        .to(results, Produced.with(text, records));
    return builder.build();
  }

  private static Properties settings() {
    var settings = new Properties();
    settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "peer-kafka-streams");
    settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, setting("PEER_KAFKA"));
    settings.put(StreamsConfig.STATE_DIR_CONFIG, setting("PEER_STATE"));
    settings.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 2);
    settings.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
    // It does not say goodbye to its group, which then waits for it this long.
    settings.put(ConsumerConfig.SESSION_TIMEOUT_MS_CONFIG, 6000);
    return settings;
  }

  private static String setting(String name) {
    var value = System.getenv(name);
    if (value == null) {
      throw new IllegalStateException(name + " is not set");
    }
    return value;
  }
}
