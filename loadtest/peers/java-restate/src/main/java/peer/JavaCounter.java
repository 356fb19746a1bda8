package peer;

import dev.restate.sdk.ObjectContext;
import dev.restate.sdk.annotation.Handler;
import dev.restate.sdk.annotation.Raw;
import dev.restate.sdk.annotation.VirtualObject;
import dev.restate.sdk.auth.signing.RestateRequestIdentityVerifier;
import dev.restate.sdk.common.StateKey;
import dev.restate.sdk.endpoint.Endpoint;
import dev.restate.sdk.http.vertx.RestateHttpServer;
import java.util.Map;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/** The keyed count in Restate's Java SDK. */
@VirtualObject
public class JavaCounter {
  private static final StateKey<Long> COUNT = StateKey.of("count", Long.class);

  private final Avro avro;
  private final KafkaProducer<String, byte[]> producer;
  private final String results;

  JavaCounter(Avro avro, KafkaProducer<String, byte[]> producer, String results) {
    this.avro = avro;
    this.producer = producer;
    this.results = results;
  }

  @Handler
  public void onEvent(ObjectContext ctx, @Raw byte[] record) {
    avro.decode(record);
    long count = ctx.get(COUNT).orElse(0L) + 1;
    byte[] value = avro.encode(avro.counted(count));
    var outgoing = new ProducerRecord<>(results, ctx.key(), value);
    ctx.run("publish", () -> producer.send(outgoing).get());
    ctx.set(COUNT, count);
  }

  public static void main(String[] arguments) throws Exception {
    var results = setting("PEER_RESULTS");
    var avro = new Avro(setting("PEER_REGISTRY"), results, setting("PEER_RESULT_SCHEMA"));
    Map<String, Object> settings =
        Map.of(
            ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, setting("PEER_KAFKA"),
            ProducerConfig.CLIENT_ID_CONFIG, "peer-java-restate",
            ProducerConfig.ENABLE_IDEMPOTENCE_CONFIG, true,
            ProducerConfig.ACKS_CONFIG, "all",
            // Each handler waits for its acknowledgement.
            ProducerConfig.LINGER_MS_CONFIG, 0);
    var producer = new KafkaProducer<>(settings, new StringSerializer(), new ByteArraySerializer());
    var endpoint = Endpoint.bind(new JavaCounter(avro, producer, results));
    var key = System.getenv("PEER_IDENTITY_KEY");
    if (key != null) {
      endpoint.withRequestIdentityVerifier(RestateRequestIdentityVerifier.fromKeys(key));
    }
    RestateHttpServer.listen(endpoint, Integer.parseInt(setting("PEER_PORT")));
    while (System.in.read() >= 0) {}
    // Whoever started this is gone.
    System.exit(0);
  }

  private static String setting(String name) {
    var value = System.getenv(name);
    if (value == null) {
      throw new IllegalStateException(name + " is not set");
    }
    return value;
  }
}
