// Generated from .avsc and topic files; edit those.
#[doc = "A currency."]
#[allow(dead_code)]
#[derive(Clone, Debug, PartialEq, Copy, Eq, PartialOrd, Ord, Hash, crate::schemas::serde::Serialize, crate::schemas::serde::Deserialize)]
#[serde(crate = "crate::schemas::serde")]
pub enum Currency {
    #[doc = "The symbol EUR."]
    #[serde(rename = "EUR")]
    Eur,
    #[doc = "The symbol USD."]
    #[serde(rename = "USD")]
    Usd,
}
#[doc = "An amount, shared by several events."]
#[allow(dead_code)]
#[derive(Clone, Debug, PartialEq, Eq, crate::schemas::serde::Serialize, crate::schemas::serde::Deserialize)]
#[serde(crate = "crate::schemas::serde")]
pub struct Money {
    #[doc = "The field cents."]
    pub cents: i64,
    #[doc = "The field currency."]
    pub currency: self::Currency,
}
/// The schema of every event in the catalogue, by full name.
#[allow(dead_code)]
pub static EVENTS: &[fn() -> &'static crate::schemas::EventSchema] = &[
    <self::order_events::OrderShipped as crate::schemas::Event>::schema,
    <self::orders::CancelOrder as crate::schemas::Event>::schema,
    <self::orders::OrderPlaced as crate::schemas::Event>::schema,
    <self::orders::OrderRefused as crate::schemas::Event>::schema,
    <self::orders::PlaceOrder as crate::schemas::Event>::schema,
];
/// Decodes the event with this full name and hands it to `visitor`; `None` when it is not in the catalogue.
#[allow(dead_code)]
pub fn decode_and_visit<D: crate::schemas::Decode, V: crate::schemas::Visit>(full_name: &str, source: D, visitor: V) -> ::std::option::Option<::std::result::Result<V::Output, D::Error>> {
    ::std::option::Option::Some(match full_name {
        "acme.order_events.OrderShipped" => source.decode::<self::order_events::OrderShipped>().map(|event| visitor.event(&event)),
        "acme.orders.CancelOrder" => source.decode::<self::orders::CancelOrder>().map(|event| visitor.event(&event)),
        "acme.orders.OrderPlaced" => source.decode::<self::orders::OrderPlaced>().map(|event| visitor.event(&event)),
        "acme.orders.OrderRefused" => source.decode::<self::orders::OrderRefused>().map(|event| visitor.event(&event)),
        "acme.orders.PlaceOrder" => source.decode::<self::orders::PlaceOrder>().map(|event| visitor.event(&event)),
        _ => return ::std::option::Option::None,
    })
}
#[doc = "Tells what happened to orders."]
#[allow(dead_code)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderEvents;
impl crate::topics::Topic for OrderEvents {
    const DECLARATION: &'static crate::topics::Declaration = &crate::topics::Declaration {
        name: "order-events",
        description: "Tells what happened to orders.",
        key: "order id",
        events: &[crate::topics::EventDeclaration { full_name: "acme.order_events.OrderShipped", results: &[], schema: <self::order_events::OrderShipped as crate::schemas::Event>::schema }],
        subjects: crate::topics::Subjects::Topic,
        partitions: 8,
        replication: ::std::option::Option::None,
        retention_ms: -1,
        cleanup: crate::topics::Cleanup::Compact,
        subscriptions: &[],
        results: ::std::option::Option::None,
        dead_letters: true,
        replies: false,
        internal: false,
        guard: false,
        guard_key_field: ::std::option::Option::None,
        generation: 1,
        input_window: 64,
        idempotency_window: 32,
        identity: crate::topics::Identity::None,
        http: &[],
    };
    type Event = self::order_events::OrderShipped;
    type Result = ();
}
#[doc = "One of the events of the topic orders."]
#[derive(Clone, Debug, PartialEq)]
#[allow(dead_code, clippy::large_enum_variant)]
pub enum OrdersEvent {
    #[doc = "The event acme.orders.PlaceOrder."]
    PlaceOrder(self::orders::PlaceOrder),
    #[doc = "The event acme.orders.CancelOrder."]
    CancelOrder(self::orders::CancelOrder),
}
impl crate::schemas::EventSet for OrdersEvent {
    fn decode<D: crate::schemas::Decode>(full_name: &str, source: D) -> ::std::option::Option<::std::result::Result<Self, D::Error>> {
        ::std::option::Option::Some(match full_name {
            "acme.orders.PlaceOrder" => source.decode().map(Self::PlaceOrder),
            "acme.orders.CancelOrder" => source.decode().map(Self::CancelOrder),
            _ => return ::std::option::Option::None,
        })
    }
    fn visit<V: crate::schemas::Visit>(&self, visitor: V) -> ::std::option::Option<V::Output> {
        ::std::option::Option::Some(match self {
            Self::PlaceOrder(event) => visitor.event(event),
            Self::CancelOrder(event) => visitor.event(event),
        })
    }
}
impl ::std::convert::From<self::orders::PlaceOrder> for OrdersEvent {
    fn from(event: self::orders::PlaceOrder) -> Self {
        Self::PlaceOrder(event)
    }
}
impl ::std::convert::From<self::orders::CancelOrder> for OrdersEvent {
    fn from(event: self::orders::CancelOrder) -> Self {
        Self::CancelOrder(event)
    }
}

#[doc = "One of the declared results of the topic orders."]
#[derive(Clone, Debug, PartialEq)]
#[allow(dead_code, clippy::large_enum_variant)]
pub enum OrdersResult {
    #[doc = "The event acme.orders.OrderPlaced."]
    OrderPlaced(self::orders::OrderPlaced),
    #[doc = "The event acme.orders.OrderRefused."]
    OrderRefused(self::orders::OrderRefused),
}
impl crate::schemas::EventSet for OrdersResult {
    fn decode<D: crate::schemas::Decode>(full_name: &str, source: D) -> ::std::option::Option<::std::result::Result<Self, D::Error>> {
        ::std::option::Option::Some(match full_name {
            "acme.orders.OrderPlaced" => source.decode().map(Self::OrderPlaced),
            "acme.orders.OrderRefused" => source.decode().map(Self::OrderRefused),
            _ => return ::std::option::Option::None,
        })
    }
    fn visit<V: crate::schemas::Visit>(&self, visitor: V) -> ::std::option::Option<V::Output> {
        ::std::option::Option::Some(match self {
            Self::OrderPlaced(event) => visitor.event(event),
            Self::OrderRefused(event) => visitor.event(event),
        })
    }
}
impl ::std::convert::From<self::orders::OrderPlaced> for OrdersResult {
    fn from(event: self::orders::OrderPlaced) -> Self {
        Self::OrderPlaced(event)
    }
}
impl ::std::convert::From<self::orders::OrderRefused> for OrdersResult {
    fn from(event: self::orders::OrderRefused) -> Self {
        Self::OrderRefused(event)
    }
}

#[doc = "Places and cancels orders."]
#[allow(dead_code)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Orders;
impl crate::topics::Topic for Orders {
    const DECLARATION: &'static crate::topics::Declaration = &crate::topics::Declaration {
        name: "orders",
        description: "Places and cancels orders.",
        key: "order id",
        events: &[crate::topics::EventDeclaration { full_name: "acme.orders.PlaceOrder", results: &["acme.orders.OrderPlaced", "acme.orders.OrderRefused"], schema: <self::orders::PlaceOrder as crate::schemas::Event>::schema }, crate::topics::EventDeclaration { full_name: "acme.orders.CancelOrder", results: &["acme.orders.OrderRefused"], schema: <self::orders::CancelOrder as crate::schemas::Event>::schema }],
        subjects: crate::topics::Subjects::TopicRecord,
        partitions: 4,
        replication: ::std::option::Option::Some(3),
        retention_ms: 43200000,
        cleanup: crate::topics::Cleanup::Delete,
        subscriptions: &[crate::topics::Subscription { service: "Orders", handler: "onEvent" }, crate::topics::Subscription { service: "Audit", handler: "onOrder" }],
        results: ::std::option::Option::Some(crate::topics::ResultTopic { name: "orders-results", partitions: 2, retention_ms: -1, schemas: &[<self::orders::OrderPlaced as crate::schemas::Event>::schema, <self::orders::OrderRefused as crate::schemas::Event>::schema, <crate::schemas::RequestFailed as crate::schemas::Event>::schema] }),
        dead_letters: true,
        replies: false,
        internal: false,
        guard: true,
        guard_key_field: ::std::option::Option::Some("order_id"),
        generation: 2,
        input_window: 128,
        idempotency_window: 16,
        identity: crate::topics::Identity::Required,
        http: &[crate::topics::HttpRoute { method: "DELETE", path: "/orders/{order}", key: "order-{order}", event: "acme.orders.CancelOrder", signature: ::std::option::Option::None, respond_async: false, fields: &[], constants: &[] }, crate::topics::HttpRoute { method: "POST", path: "/orders/{order}/{customer}", key: "{order}", event: "acme.orders.PlaceOrder", signature: ::std::option::Option::Some(crate::topics::Signature::Stripe), respond_async: true, fields: &[("customerId", "{customer}"), ("lines", "$body")], constants: &[("amount_cents", "1"), ("blobs", "{}"), ("day", "0"), ("gift", "false"), ("label", "\"l\""), ("labels", "{\"a\":\"b\"}"), ("mode", "\"twoPhase\""), ("pages", "[]"), ("price", "{\"cents\":1,\"currency\":\"EUR\"}"), ("time", "0"), ("type", "1"), ("volume", "2"), ("weight", "1.5")] }],
    };
    type Event = OrdersEvent;
    type Result = OrdersResult;
}
#[doc = "Carries results to whoever awaits them."]
#[allow(dead_code)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replies;
impl crate::topics::Topic for Replies {
    const DECLARATION: &'static crate::topics::Declaration = &crate::topics::Declaration {
        name: "replies",
        description: "Carries results to whoever awaits them.",
        key: "awakeable id",
        events: &[],
        subjects: crate::topics::Subjects::TopicRecord,
        partitions: 8,
        replication: ::std::option::Option::None,
        retention_ms: 604800000,
        cleanup: crate::topics::Cleanup::Delete,
        subscriptions: &[crate::topics::Subscription { service: "Replies", handler: "onReply" }],
        results: ::std::option::Option::None,
        dead_letters: false,
        replies: true,
        internal: true,
        guard: false,
        guard_key_field: ::std::option::Option::None,
        generation: 1,
        input_window: 64,
        idempotency_window: 32,
        identity: crate::topics::Identity::None,
        http: &[],
    };
    type Event = ();
    type Result = ();
}
#[doc = "One of the events of the topic orders-results."]
#[derive(Clone, Debug, PartialEq)]
#[allow(dead_code, clippy::large_enum_variant)]
pub enum OrdersResultsEvent {
    #[doc = "The event acme.orders.OrderPlaced."]
    OrderPlaced(self::orders::OrderPlaced),
    #[doc = "The event acme.orders.OrderRefused."]
    OrderRefused(self::orders::OrderRefused),
    #[doc = "The event millstream.RequestFailed."]
    RequestFailed(crate::schemas::RequestFailed),
}
impl crate::schemas::EventSet for OrdersResultsEvent {
    fn decode<D: crate::schemas::Decode>(full_name: &str, source: D) -> ::std::option::Option<::std::result::Result<Self, D::Error>> {
        ::std::option::Option::Some(match full_name {
            "acme.orders.OrderPlaced" => source.decode().map(Self::OrderPlaced),
            "acme.orders.OrderRefused" => source.decode().map(Self::OrderRefused),
            "millstream.RequestFailed" => source.decode().map(Self::RequestFailed),
            _ => return ::std::option::Option::None,
        })
    }
    fn visit<V: crate::schemas::Visit>(&self, visitor: V) -> ::std::option::Option<V::Output> {
        ::std::option::Option::Some(match self {
            Self::OrderPlaced(event) => visitor.event(event),
            Self::OrderRefused(event) => visitor.event(event),
            Self::RequestFailed(event) => visitor.event(event),
        })
    }
}
impl ::std::convert::From<self::orders::OrderPlaced> for OrdersResultsEvent {
    fn from(event: self::orders::OrderPlaced) -> Self {
        Self::OrderPlaced(event)
    }
}
impl ::std::convert::From<self::orders::OrderRefused> for OrdersResultsEvent {
    fn from(event: self::orders::OrderRefused) -> Self {
        Self::OrderRefused(event)
    }
}
impl ::std::convert::From<crate::schemas::RequestFailed> for OrdersResultsEvent {
    fn from(event: crate::schemas::RequestFailed) -> Self {
        Self::RequestFailed(event)
    }
}

#[doc = "Results of the commands on orders."]
#[allow(dead_code)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrdersResults;
impl crate::topics::Topic for OrdersResults {
    const DECLARATION: &'static crate::topics::Declaration = &crate::topics::Declaration {
        name: "orders-results",
        description: "Results of the commands on orders.",
        key: "order id",
        events: &[crate::topics::EventDeclaration { full_name: "acme.orders.OrderPlaced", results: &[], schema: <self::orders::OrderPlaced as crate::schemas::Event>::schema }, crate::topics::EventDeclaration { full_name: "acme.orders.OrderRefused", results: &[], schema: <self::orders::OrderRefused as crate::schemas::Event>::schema }, crate::topics::EventDeclaration { full_name: "millstream.RequestFailed", results: &[], schema: <crate::schemas::RequestFailed as crate::schemas::Event>::schema }],
        subjects: crate::topics::Subjects::TopicRecord,
        partitions: 2,
        replication: ::std::option::Option::Some(3),
        retention_ms: -1,
        cleanup: crate::topics::Cleanup::Delete,
        subscriptions: &[crate::topics::Subscription { service: "Audit", handler: "onResult" }],
        results: ::std::option::Option::None,
        dead_letters: true,
        replies: false,
        internal: false,
        guard: false,
        guard_key_field: ::std::option::Option::None,
        generation: 2,
        input_window: 128,
        idempotency_window: 16,
        identity: crate::topics::Identity::None,
        http: &[],
    };
    type Event = OrdersResultsEvent;
    type Result = ();
}
/// Every topic in the catalogue, and every result topic that somebody handles.
#[allow(dead_code)]
pub static TOPICS: &[&crate::topics::Declaration] = &[
    <self::OrderEvents as crate::topics::Topic>::DECLARATION,
    <self::Orders as crate::topics::Topic>::DECLARATION,
    <self::Replies as crate::topics::Topic>::DECLARATION,
    <self::OrdersResults as crate::topics::Topic>::DECLARATION,
];
#[doc = "The events of `order-events`."]
pub mod order_events {
#[doc = "A fact."]
#[allow(dead_code)]
#[derive(Clone, Debug, PartialEq, Eq, Default, crate::schemas::serde::Serialize, crate::schemas::serde::Deserialize)]
#[serde(crate = "crate::schemas::serde")]
pub struct OrderShipped {
    #[doc = "The field carrier."]
    pub carrier: ::std::string::String,
}
impl crate::schemas::Event for OrderShipped {
    const FULL_NAME: &'static str = "acme.order_events.OrderShipped";
    fn schema() -> &'static crate::schemas::EventSchema {
        static SCHEMA: ::std::sync::OnceLock<crate::schemas::EventSchema> = ::std::sync::OnceLock::new();
        SCHEMA.get_or_init(|| crate::schemas::EventSchema::of_generated("acme.order_events.OrderShipped", "{\"type\":\"record\",\"name\":\"OrderShipped\",\"namespace\":\"acme.order_events\",\"doc\":\"A fact.\",\"fields\":[{\"name\":\"carrier\",\"type\":\"string\"},{\"name\":\"meta\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"EventMeta\",\"namespace\":\"millstream\",\"doc\":\"Where an event comes from, what it belongs to and where its answer goes. Names are those of CloudEvents where it has one.\",\"fields\":[{\"name\":\"id\",\"type\":\"string\",\"doc\":\"Unique per event; the same for every copy of it.\"},{\"name\":\"source\",\"type\":\"string\",\"doc\":\"Who emitted it: <Service>/<object key>, or the producer's name.\"},{\"name\":\"time\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"},\"doc\":\"When, in microseconds since 1970-01-01 UTC.\"},{\"name\":\"correlation_id\",\"type\":\"string\",\"doc\":\"The request that it belongs to.\"},{\"name\":\"causation_id\",\"type\":[\"null\",\"string\"],\"doc\":\"Id of the event that caused it.\",\"default\":null},{\"name\":\"original_id\",\"type\":[\"null\",\"string\"],\"doc\":\"For a repeated answer: id of the first one.\",\"default\":null},{\"name\":\"reply_to\",\"type\":[\"null\",\"string\"],\"doc\":\"Topic for the answer; null: the declared result topic.\",\"default\":null},{\"name\":\"reply_key\",\"type\":[\"null\",\"string\"],\"doc\":\"Key for the answer; null: the command's key.\",\"default\":null},{\"name\":\"idempotency_key\",\"type\":[\"null\",\"string\"],\"doc\":\"Commands of one key with the same idempotency key are executed once.\",\"default\":null},{\"name\":\"principal\",\"type\":[\"null\",\"string\"],\"doc\":\"Authenticated identity of the sender.\",\"default\":null},{\"name\":\"proof\",\"type\":[\"null\",\"string\"],\"doc\":\"Signature that proves the principal.\",\"default\":null},{\"name\":\"seq\",\"type\":[\"null\",\"long\"],\"doc\":\"Position among the events that this source emitted to this topic with this key, from 1 without gaps.\",\"default\":null},{\"name\":\"epoch\",\"type\":[\"null\",\"string\"],\"doc\":\"Changes when seq starts again.\",\"default\":null},{\"name\":\"not_before\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}],\"doc\":\"Honoured by the topic timers alone.\",\"default\":null},{\"name\":\"expires_at\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}],\"doc\":\"A command handled later than this is answered with expired.\",\"default\":null},{\"name\":\"traceparent\",\"type\":[\"null\",\"string\"],\"doc\":\"W3C trace context.\",\"default\":null},{\"name\":\"tracestate\",\"type\":[\"null\",\"string\"],\"doc\":\"W3C trace state.\",\"default\":null}]}],\"default\":null}]}", "{ \"carrier\": \"Snail\" }"))
    }
}
}
#[doc = "The events of `orders`."]
pub mod orders {
#[doc = "Has no fields."]
#[allow(dead_code)]
#[derive(Clone, Debug, PartialEq, Eq, Default, crate::schemas::serde::Serialize, crate::schemas::serde::Deserialize)]
#[serde(crate = "crate::schemas::serde")]
pub struct CancelOrder {
}
impl crate::schemas::Event for CancelOrder {
    const FULL_NAME: &'static str = "acme.orders.CancelOrder";
    fn schema() -> &'static crate::schemas::EventSchema {
        static SCHEMA: ::std::sync::OnceLock<crate::schemas::EventSchema> = ::std::sync::OnceLock::new();
        SCHEMA.get_or_init(|| crate::schemas::EventSchema::of_generated("acme.orders.CancelOrder", "{\"type\":\"record\",\"name\":\"CancelOrder\",\"namespace\":\"acme.orders\",\"doc\":\"Has no fields.\",\"fields\":[{\"name\":\"meta\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"EventMeta\",\"namespace\":\"millstream\",\"doc\":\"Where an event comes from, what it belongs to and where its answer goes. Names are those of CloudEvents where it has one.\",\"fields\":[{\"name\":\"id\",\"type\":\"string\",\"doc\":\"Unique per event; the same for every copy of it.\"},{\"name\":\"source\",\"type\":\"string\",\"doc\":\"Who emitted it: <Service>/<object key>, or the producer's name.\"},{\"name\":\"time\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"},\"doc\":\"When, in microseconds since 1970-01-01 UTC.\"},{\"name\":\"correlation_id\",\"type\":\"string\",\"doc\":\"The request that it belongs to.\"},{\"name\":\"causation_id\",\"type\":[\"null\",\"string\"],\"doc\":\"Id of the event that caused it.\",\"default\":null},{\"name\":\"original_id\",\"type\":[\"null\",\"string\"],\"doc\":\"For a repeated answer: id of the first one.\",\"default\":null},{\"name\":\"reply_to\",\"type\":[\"null\",\"string\"],\"doc\":\"Topic for the answer; null: the declared result topic.\",\"default\":null},{\"name\":\"reply_key\",\"type\":[\"null\",\"string\"],\"doc\":\"Key for the answer; null: the command's key.\",\"default\":null},{\"name\":\"idempotency_key\",\"type\":[\"null\",\"string\"],\"doc\":\"Commands of one key with the same idempotency key are executed once.\",\"default\":null},{\"name\":\"principal\",\"type\":[\"null\",\"string\"],\"doc\":\"Authenticated identity of the sender.\",\"default\":null},{\"name\":\"proof\",\"type\":[\"null\",\"string\"],\"doc\":\"Signature that proves the principal.\",\"default\":null},{\"name\":\"seq\",\"type\":[\"null\",\"long\"],\"doc\":\"Position among the events that this source emitted to this topic with this key, from 1 without gaps.\",\"default\":null},{\"name\":\"epoch\",\"type\":[\"null\",\"string\"],\"doc\":\"Changes when seq starts again.\",\"default\":null},{\"name\":\"not_before\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}],\"doc\":\"Honoured by the topic timers alone.\",\"default\":null},{\"name\":\"expires_at\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}],\"doc\":\"A command handled later than this is answered with expired.\",\"default\":null},{\"name\":\"traceparent\",\"type\":[\"null\",\"string\"],\"doc\":\"W3C trace context.\",\"default\":null},{\"name\":\"tracestate\",\"type\":[\"null\",\"string\"],\"doc\":\"W3C trace state.\",\"default\":null}]}],\"default\":null}]}", "{}"))
    }
}
#[doc = "A part of acme.orders.PlaceOrder."]
#[allow(dead_code)]
#[derive(Clone, Debug, PartialEq, Eq, Default, crate::schemas::serde::Serialize, crate::schemas::serde::Deserialize)]
#[serde(crate = "crate::schemas::serde")]
pub struct Line {
    #[doc = "The field item."]
    pub item: ::std::string::String,
    #[doc = "The field price."]
    pub price: ::std::option::Option<super::Money>,
}
#[doc = "A part of acme.orders.PlaceOrder."]
#[allow(dead_code)]
#[derive(Clone, Debug, PartialEq, Copy, Eq, PartialOrd, Ord, Hash, crate::schemas::serde::Serialize, crate::schemas::serde::Deserialize)]
#[serde(crate = "crate::schemas::serde")]
pub enum Mode {
    #[doc = "The symbol AT\\_LEAST\\_ONCE."]
    #[serde(rename = "AT_LEAST_ONCE")]
    AtLeastOnce,
    #[doc = "The symbol CONDITIONAL."]
    #[serde(rename = "CONDITIONAL")]
    Conditional,
    #[doc = "The symbol twoPhase."]
    #[serde(rename = "twoPhase")]
    TwoPhase,
}
#[doc = "A result."]
#[allow(dead_code)]
#[derive(Clone, Debug, PartialEq, Eq, Default, crate::schemas::serde::Serialize, crate::schemas::serde::Deserialize)]
#[serde(crate = "crate::schemas::serde")]
pub struct OrderPlaced {
    #[doc = "The field total."]
    pub total: ::std::option::Option<super::Money>,
}
impl crate::schemas::Event for OrderPlaced {
    const FULL_NAME: &'static str = "acme.orders.OrderPlaced";
    fn schema() -> &'static crate::schemas::EventSchema {
        static SCHEMA: ::std::sync::OnceLock<crate::schemas::EventSchema> = ::std::sync::OnceLock::new();
        SCHEMA.get_or_init(|| crate::schemas::EventSchema::of_generated("acme.orders.OrderPlaced", "{\"type\":\"record\",\"name\":\"OrderPlaced\",\"namespace\":\"acme.orders\",\"doc\":\"A result.\",\"fields\":[{\"name\":\"total\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"Money\",\"namespace\":\"acme\",\"doc\":\"An amount, shared by several events.\",\"fields\":[{\"name\":\"cents\",\"type\":\"long\"},{\"name\":\"currency\",\"type\":{\"type\":\"enum\",\"name\":\"Currency\",\"doc\":\"A currency.\",\"symbols\":[\"EUR\",\"USD\"],\"default\":\"EUR\"}}]}],\"default\":null},{\"name\":\"meta\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"EventMeta\",\"namespace\":\"millstream\",\"doc\":\"Where an event comes from, what it belongs to and where its answer goes. Names are those of CloudEvents where it has one.\",\"fields\":[{\"name\":\"id\",\"type\":\"string\",\"doc\":\"Unique per event; the same for every copy of it.\"},{\"name\":\"source\",\"type\":\"string\",\"doc\":\"Who emitted it: <Service>/<object key>, or the producer's name.\"},{\"name\":\"time\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"},\"doc\":\"When, in microseconds since 1970-01-01 UTC.\"},{\"name\":\"correlation_id\",\"type\":\"string\",\"doc\":\"The request that it belongs to.\"},{\"name\":\"causation_id\",\"type\":[\"null\",\"string\"],\"doc\":\"Id of the event that caused it.\",\"default\":null},{\"name\":\"original_id\",\"type\":[\"null\",\"string\"],\"doc\":\"For a repeated answer: id of the first one.\",\"default\":null},{\"name\":\"reply_to\",\"type\":[\"null\",\"string\"],\"doc\":\"Topic for the answer; null: the declared result topic.\",\"default\":null},{\"name\":\"reply_key\",\"type\":[\"null\",\"string\"],\"doc\":\"Key for the answer; null: the command's key.\",\"default\":null},{\"name\":\"idempotency_key\",\"type\":[\"null\",\"string\"],\"doc\":\"Commands of one key with the same idempotency key are executed once.\",\"default\":null},{\"name\":\"principal\",\"type\":[\"null\",\"string\"],\"doc\":\"Authenticated identity of the sender.\",\"default\":null},{\"name\":\"proof\",\"type\":[\"null\",\"string\"],\"doc\":\"Signature that proves the principal.\",\"default\":null},{\"name\":\"seq\",\"type\":[\"null\",\"long\"],\"doc\":\"Position among the events that this source emitted to this topic with this key, from 1 without gaps.\",\"default\":null},{\"name\":\"epoch\",\"type\":[\"null\",\"string\"],\"doc\":\"Changes when seq starts again.\",\"default\":null},{\"name\":\"not_before\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}],\"doc\":\"Honoured by the topic timers alone.\",\"default\":null},{\"name\":\"expires_at\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}],\"doc\":\"A command handled later than this is answered with expired.\",\"default\":null},{\"name\":\"traceparent\",\"type\":[\"null\",\"string\"],\"doc\":\"W3C trace context.\",\"default\":null},{\"name\":\"tracestate\",\"type\":[\"null\",\"string\"],\"doc\":\"W3C trace state.\",\"default\":null}]}],\"default\":null}]}", "{ \"total\": { \"cents\": 1, \"currency\": \"USD\" } }"))
    }
}
#[doc = "A result."]
#[allow(dead_code)]
#[derive(Clone, Debug, PartialEq, Eq, Default, crate::schemas::serde::Serialize, crate::schemas::serde::Deserialize)]
#[serde(crate = "crate::schemas::serde")]
pub struct OrderRefused {
    #[doc = "The field total."]
    pub total: ::std::option::Option<super::Money>,
}
impl crate::schemas::Event for OrderRefused {
    const FULL_NAME: &'static str = "acme.orders.OrderRefused";
    fn schema() -> &'static crate::schemas::EventSchema {
        static SCHEMA: ::std::sync::OnceLock<crate::schemas::EventSchema> = ::std::sync::OnceLock::new();
        SCHEMA.get_or_init(|| crate::schemas::EventSchema::of_generated("acme.orders.OrderRefused", "{\"type\":\"record\",\"name\":\"OrderRefused\",\"namespace\":\"acme.orders\",\"doc\":\"A result.\",\"fields\":[{\"name\":\"total\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"Money\",\"namespace\":\"acme\",\"doc\":\"An amount, shared by several events.\",\"fields\":[{\"name\":\"cents\",\"type\":\"long\"},{\"name\":\"currency\",\"type\":{\"type\":\"enum\",\"name\":\"Currency\",\"doc\":\"A currency.\",\"symbols\":[\"EUR\",\"USD\"],\"default\":\"EUR\"}}]}],\"default\":null},{\"name\":\"meta\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"EventMeta\",\"namespace\":\"millstream\",\"doc\":\"Where an event comes from, what it belongs to and where its answer goes. Names are those of CloudEvents where it has one.\",\"fields\":[{\"name\":\"id\",\"type\":\"string\",\"doc\":\"Unique per event; the same for every copy of it.\"},{\"name\":\"source\",\"type\":\"string\",\"doc\":\"Who emitted it: <Service>/<object key>, or the producer's name.\"},{\"name\":\"time\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"},\"doc\":\"When, in microseconds since 1970-01-01 UTC.\"},{\"name\":\"correlation_id\",\"type\":\"string\",\"doc\":\"The request that it belongs to.\"},{\"name\":\"causation_id\",\"type\":[\"null\",\"string\"],\"doc\":\"Id of the event that caused it.\",\"default\":null},{\"name\":\"original_id\",\"type\":[\"null\",\"string\"],\"doc\":\"For a repeated answer: id of the first one.\",\"default\":null},{\"name\":\"reply_to\",\"type\":[\"null\",\"string\"],\"doc\":\"Topic for the answer; null: the declared result topic.\",\"default\":null},{\"name\":\"reply_key\",\"type\":[\"null\",\"string\"],\"doc\":\"Key for the answer; null: the command's key.\",\"default\":null},{\"name\":\"idempotency_key\",\"type\":[\"null\",\"string\"],\"doc\":\"Commands of one key with the same idempotency key are executed once.\",\"default\":null},{\"name\":\"principal\",\"type\":[\"null\",\"string\"],\"doc\":\"Authenticated identity of the sender.\",\"default\":null},{\"name\":\"proof\",\"type\":[\"null\",\"string\"],\"doc\":\"Signature that proves the principal.\",\"default\":null},{\"name\":\"seq\",\"type\":[\"null\",\"long\"],\"doc\":\"Position among the events that this source emitted to this topic with this key, from 1 without gaps.\",\"default\":null},{\"name\":\"epoch\",\"type\":[\"null\",\"string\"],\"doc\":\"Changes when seq starts again.\",\"default\":null},{\"name\":\"not_before\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}],\"doc\":\"Honoured by the topic timers alone.\",\"default\":null},{\"name\":\"expires_at\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}],\"doc\":\"A command handled later than this is answered with expired.\",\"default\":null},{\"name\":\"traceparent\",\"type\":[\"null\",\"string\"],\"doc\":\"W3C trace context.\",\"default\":null},{\"name\":\"tracestate\",\"type\":[\"null\",\"string\"],\"doc\":\"W3C trace state.\",\"default\":null}]}],\"default\":null}]}", "{ \"total\": { \"cents\": 1, \"currency\": \"USD\" } }"))
    }
}
#[doc = "Has every type; its key is the \\<order id\\>."]
#[allow(dead_code)]
#[derive(Clone, Debug, PartialEq, crate::schemas::serde::Serialize, crate::schemas::serde::Deserialize)]
#[serde(crate = "crate::schemas::serde")]
pub struct PlaceOrder {
    #[doc = "Not in snake\\_case."]
    #[serde(rename = "customerId")]
    pub customer_id: ::std::string::String,
    #[doc = "The field type."]
    pub r#type: i32,
    #[doc = "The field amount\\_cents."]
    pub amount_cents: i64,
    #[doc = "The field gift."]
    pub gift: bool,
    #[doc = "The field weight."]
    pub weight: f32,
    #[doc = "The field volume."]
    pub volume: f64,
    #[doc = "The field label."]
    pub label: crate::schemas::Bytes,
    #[doc = "The field pages."]
    pub pages: ::std::vec::Vec<crate::schemas::Bytes>,
    #[doc = "The field time."]
    pub time: i64,
    #[doc = "The field day."]
    pub day: i32,
    #[doc = "The field mode."]
    pub mode: super::orders::Mode,
    #[doc = "The field fallback."]
    pub fallback: ::std::option::Option<super::orders::Mode>,
    #[doc = "The field price."]
    pub price: super::Money,
    #[doc = "The field lines."]
    pub lines: ::std::vec::Vec<super::orders::Line>,
    #[doc = "The field labels."]
    pub labels: ::std::collections::BTreeMap<::std::string::String, ::std::string::String>,
    #[doc = "The field blobs."]
    pub blobs: ::std::collections::BTreeMap<::std::string::String, ::std::option::Option<crate::schemas::Bytes>>,
    #[doc = "The field note."]
    pub note: ::std::option::Option<::std::string::String>,
    #[doc = "The field seal."]
    pub seal: ::std::option::Option<crate::schemas::Bytes>,
    #[doc = "The field due."]
    pub due: ::std::option::Option<i64>,
}
impl crate::schemas::Event for PlaceOrder {
    const FULL_NAME: &'static str = "acme.orders.PlaceOrder";
    fn schema() -> &'static crate::schemas::EventSchema {
        static SCHEMA: ::std::sync::OnceLock<crate::schemas::EventSchema> = ::std::sync::OnceLock::new();
        SCHEMA.get_or_init(|| crate::schemas::EventSchema::of_generated("acme.orders.PlaceOrder", "{\"type\":\"record\",\"name\":\"PlaceOrder\",\"namespace\":\"acme.orders\",\"doc\":\"Has every type; its key is the <order id>.\",\"fields\":[{\"name\":\"customerId\",\"type\":\"string\",\"doc\":\"Not in snake_case.\"},{\"name\":\"type\",\"type\":\"int\",\"default\":3},{\"name\":\"amount_cents\",\"type\":\"long\"},{\"name\":\"gift\",\"type\":\"boolean\",\"default\":false},{\"name\":\"weight\",\"type\":\"float\"},{\"name\":\"volume\",\"type\":\"double\"},{\"name\":\"label\",\"type\":\"bytes\"},{\"name\":\"pages\",\"type\":{\"type\":\"array\",\"items\":\"bytes\"}},{\"name\":\"time\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}},{\"name\":\"day\",\"type\":{\"type\":\"int\",\"logicalType\":\"date\"}},{\"name\":\"mode\",\"type\":{\"type\":\"enum\",\"name\":\"Mode\",\"symbols\":[\"AT_LEAST_ONCE\",\"CONDITIONAL\",\"twoPhase\"]}},{\"name\":\"fallback\",\"type\":[\"null\",\"acme.orders.Mode\"],\"default\":null},{\"name\":\"price\",\"type\":{\"type\":\"record\",\"name\":\"Money\",\"namespace\":\"acme\",\"doc\":\"An amount, shared by several events.\",\"fields\":[{\"name\":\"cents\",\"type\":\"long\"},{\"name\":\"currency\",\"type\":{\"type\":\"enum\",\"name\":\"Currency\",\"doc\":\"A currency.\",\"symbols\":[\"EUR\",\"USD\"],\"default\":\"EUR\"}}]}},{\"name\":\"lines\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"Line\",\"fields\":[{\"name\":\"item\",\"type\":\"string\"},{\"name\":\"price\",\"type\":[\"null\",\"acme.Money\"],\"default\":null}]}}},{\"name\":\"labels\",\"type\":{\"type\":\"map\",\"values\":\"string\"}},{\"name\":\"blobs\",\"type\":{\"type\":\"map\",\"values\":[\"null\",\"bytes\"]}},{\"name\":\"note\",\"type\":[\"null\",\"string\"],\"default\":null},{\"name\":\"seal\",\"type\":[\"null\",\"bytes\"],\"default\":null},{\"name\":\"due\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}],\"default\":null},{\"name\":\"meta\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"EventMeta\",\"namespace\":\"millstream\",\"doc\":\"Where an event comes from, what it belongs to and where its answer goes. Names are those of CloudEvents where it has one.\",\"fields\":[{\"name\":\"id\",\"type\":\"string\",\"doc\":\"Unique per event; the same for every copy of it.\"},{\"name\":\"source\",\"type\":\"string\",\"doc\":\"Who emitted it: <Service>/<object key>, or the producer's name.\"},{\"name\":\"time\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"},\"doc\":\"When, in microseconds since 1970-01-01 UTC.\"},{\"name\":\"correlation_id\",\"type\":\"string\",\"doc\":\"The request that it belongs to.\"},{\"name\":\"causation_id\",\"type\":[\"null\",\"string\"],\"doc\":\"Id of the event that caused it.\",\"default\":null},{\"name\":\"original_id\",\"type\":[\"null\",\"string\"],\"doc\":\"For a repeated answer: id of the first one.\",\"default\":null},{\"name\":\"reply_to\",\"type\":[\"null\",\"string\"],\"doc\":\"Topic for the answer; null: the declared result topic.\",\"default\":null},{\"name\":\"reply_key\",\"type\":[\"null\",\"string\"],\"doc\":\"Key for the answer; null: the command's key.\",\"default\":null},{\"name\":\"idempotency_key\",\"type\":[\"null\",\"string\"],\"doc\":\"Commands of one key with the same idempotency key are executed once.\",\"default\":null},{\"name\":\"principal\",\"type\":[\"null\",\"string\"],\"doc\":\"Authenticated identity of the sender.\",\"default\":null},{\"name\":\"proof\",\"type\":[\"null\",\"string\"],\"doc\":\"Signature that proves the principal.\",\"default\":null},{\"name\":\"seq\",\"type\":[\"null\",\"long\"],\"doc\":\"Position among the events that this source emitted to this topic with this key, from 1 without gaps.\",\"default\":null},{\"name\":\"epoch\",\"type\":[\"null\",\"string\"],\"doc\":\"Changes when seq starts again.\",\"default\":null},{\"name\":\"not_before\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}],\"doc\":\"Honoured by the topic timers alone.\",\"default\":null},{\"name\":\"expires_at\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}],\"doc\":\"A command handled later than this is answered with expired.\",\"default\":null},{\"name\":\"traceparent\",\"type\":[\"null\",\"string\"],\"doc\":\"W3C trace context.\",\"default\":null},{\"name\":\"tracestate\",\"type\":[\"null\",\"string\"],\"doc\":\"W3C trace state.\",\"default\":null}]}],\"default\":null}]}", "{\n  \"customerId\": \"c1\",\n  \"type\": 1,\n  \"amount_cents\": 1250,\n  \"gift\": true,\n  \"weight\": 0.5,\n  \"volume\": 2.25,\n  \"label\": \"text\",\n  \"pages\": [[1, 2, 255], \"abc\"],\n  \"time\": 1763719200000000,\n  \"day\": 20413,\n  \"mode\": \"AT_LEAST_ONCE\",\n  \"price\": { \"cents\": 1250, \"currency\": \"EUR\" },\n  \"lines\": [{ \"item\": \"book\" }, { \"item\": \"pen\", \"price\": { \"cents\": 99, \"currency\": \"USD\" } }],\n  \"labels\": { \"b\": \"2\", \"a\": \"1\" },\n  \"blobs\": { \"x\": null, \"y\": [0] },\n  \"note\": null,\n  \"seal\": [7]\n}"))
    }
}
}
