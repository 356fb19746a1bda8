// A client in Java, made by openapi-generator (java, library native). Exit status 0 only when all is as
// expected.
//
//     java -cp ... Client http://localhost:8088

import java.net.URI;
import java.net.http.HttpClient;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.UUID;
import org.openapitools.client.ApiClient;
import org.openapitools.client.ApiException;
import org.openapitools.client.api.AccountsApi;
import org.openapitools.client.api.DbUsersApi;
import org.openapitools.client.api.PackageLocationUpdatesApi;
import org.openapitools.client.api.ProductReservationsApi;
import org.openapitools.client.api.RequestsApi;
import org.openapitools.client.model.*;

class Client {
  static final String UNIQUE = "java-" + UUID.randomUUID();

  static void expect(String what, Object found, Object expected) {
    if (!Objects.equals(found, expected)) {
      throw new IllegalStateException(what + ": " + found + ", not " + expected);
    }
  }

  public static void main(String[] arguments) throws Exception {
    var http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1);
    var client = new ApiClient(http, ApiClient.createDefaultObjectMapper(), arguments[0]);
    client.setReadTimeout(Duration.ofSeconds(60));

    var users = new DbUsersApi(client);
    var user = new MillstreamDbUsersInsertUser().name("Ada").address("Bridge 5").credits(3L);
    var insert = new DbUsersInsertUser().type(DbUsersInsertUser.TypeEnum.INSERT_USER).data(user);
    var stored = users.postV1TopicsDbUsersKey(
        UNIQUE, new DbUsersEvent(insert), UNIQUE, "wait=30", null, null, null);
    expect("what is stored", stored.getActualInstance().getClass(), MillstreamDbUsersUserStoredResult.class);
    var read = new DbUsersReadUser().type(DbUsersReadUser.TypeEnum.READ_USER);
    var found = users.postV1TopicsDbUsersKey(
            UNIQUE, new DbUsersEvent(read), null, "wait=30", null, null, null)
        .getMillstreamDbUsersUserReadResult();
    expect("the user", List.of(found.getData().getName(), found.getData().getCredits()), List.of("Ada", 3L));

    var reservations = new ProductReservationsApi(client);
    var reserved = reservations.postReserveProductReservation(
        UNIQUE, "r1", null, "wait=30", "9999-12-31T23:59:59Z", null, null);
    expect("the reservation", reserved.getData().getReserved(), true);
    expect("the position of the product's first result", reserved.getMeta().getSeq(), 1L);
    var requests = new RequestsApi(client);
    var again = requests.getRequest(reserved.getRequest(), 30, null);
    expect("the same", again.getActualInstance(), reserved);
    var ticket = requests.createTicket(reserved.getRequest());
    expect("the stream's path", URI.create(ticket.getEvents()).getPath().endsWith("/events"), true);

    var sighting = new MillstreamPackageLocationUpdatesLocationUpdate();
    sighting.timestamp("2026-11-21 10:00").location("Bridge 5");
    var fact = new PackageLocationUpdatesEvent().data(sighting);
    var accepted = new PackageLocationUpdatesApi(client).postV1TopicsPackageLocationUpdatesKey(
        UNIQUE, fact, null, null, null, null, null);
    expect("the fact", accepted.getStatus(), Accepted.StatusEnum.ACCEPTED);

    try {
      var nothing = new PostAccountsAccountDepositsRequest();
      new AccountsApi(client).postAccountsAccountDeposits(UNIQUE, nothing, null, null, null, null, null);
      throw new IllegalStateException("a deposit of nothing is taken");
    } catch (ApiException refused) {
      var problem = ApiClient.createDefaultObjectMapper().readValue(refused.getResponseBody(), Problem.class);
      expect("the refusal", List.of(refused.getCode(), problem.getCode()), List.of(400, "invalid-request"));
      expect("its field", problem.getErrors().get(0).getField(), "amount_cents");
    }
    System.out.println("Java: all as expected");
  }
}
