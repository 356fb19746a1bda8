package peer;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.ConcurrentHashMap;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericDatumWriter;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.BinaryEncoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.avro.io.EncoderFactory;

/**
 * Confluent's wire format: a zero byte, the schema's id in four bytes, the Avro body. Confluent's own
 * serializers are not on Maven Central.
 */
final class Avro {
  private final String registry;
  private final HttpClient http = HttpClient.newHttpClient();
  private final ConcurrentHashMap<Integer, GenericDatumReader<GenericRecord>> readers =
      new ConcurrentHashMap<>();
  private final ThreadLocal<BinaryDecoder> decoders = new ThreadLocal<>();
  private final ThreadLocal<BinaryEncoder> encoders = new ThreadLocal<>();
  private final Schema counted;
  private final GenericDatumWriter<GenericRecord> writer;
  private final int id;

  /** Registers the schema of the results. */
  Avro(String registry, String results, String resultSchema) throws IOException {
    this.registry = registry;
    counted = new Schema.Parser().parse(Files.readString(Path.of(resultSchema)));
    writer = new GenericDatumWriter<>(counted);
    var body = "{\"schema\":\"" + counted.toString().replace("\"", "\\\"") + "\"}";
    var request =
        HttpRequest.newBuilder(URI.create(registry + "/subjects/" + results + "-value/versions"))
            .header("Content-Type", "application/vnd.schemaregistry.v1+json")
            .POST(HttpRequest.BodyPublishers.ofString(body));
    id = Integer.parseInt(ask(request).replaceAll("(?s).*\"id\"\\s*:\\s*(\\d+).*", "$1"));
  }

  GenericRecord decode(byte[] value) {
    try {
      var reader = readers.computeIfAbsent(ByteBuffer.wrap(value, 1, 4).getInt(), this::reader);
      var decoder = DecoderFactory.get().binaryDecoder(value, 5, value.length - 5, decoders.get());
      decoders.set(decoder);
      return reader.read(null, decoder);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  GenericRecord counted(long count) {
    var record = new GenericData.Record(counted);
    record.put("count", count);
    return record;
  }

  byte[] encode(GenericRecord record) {
    try {
      var out = new ByteArrayOutputStream(16);
      out.write(0);
      out.writeBytes(ByteBuffer.allocate(4).putInt(id).array());
      var encoder = EncoderFactory.get().binaryEncoder(out, encoders.get());
      encoders.set(encoder);
      writer.write(record, encoder);
      encoder.flush();
      return out.toByteArray();
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  private GenericDatumReader<GenericRecord> reader(int schema) {
    var answer = ask(HttpRequest.newBuilder(URI.create(registry + "/schemas/ids/" + schema)));
    // Jackson comes with Avro.
    try {
      var json = new com.fasterxml.jackson.databind.ObjectMapper().readTree(answer);
      return new GenericDatumReader<>(new Schema.Parser().parse(json.get("schema").asText()));
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  private String ask(HttpRequest.Builder request) {
    try {
      var answer = http.send(request.build(), HttpResponse.BodyHandlers.ofString());
      if (answer.statusCode() != 200) {
        throw new IOException("the registry: " + answer.statusCode() + " " + answer.body());
      }
      return answer.body();
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    } catch (InterruptedException error) {
      throw new IllegalStateException(error);
    }
  }
}
