// Generated from .avsc and topic files; edit those.
#[doc = "A currency."]
#[allow(dead_code)]
#[derive(Clone, Debug, PartialEq, Copy, Eq, PartialOrd, Ord, Hash, ::millstream_events::serde::Serialize, ::millstream_events::serde::Deserialize)]
#[serde(crate = "::millstream_events::serde")]
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
#[derive(Clone, Debug, PartialEq, Eq, ::millstream_events::serde::Serialize, ::millstream_events::serde::Deserialize)]
#[serde(crate = "::millstream_events::serde")]
pub struct Money {
    #[doc = "The field cents."]
    pub cents: i64,
    #[doc = "The field currency."]
    pub currency: self::Currency,
}
/// The schema of every event in the catalogue, by full name.
#[allow(dead_code)]
pub static EVENTS: &[fn() -> &'static ::millstream_events::EventSchema] = &[
    <self::order_counts::OrderCounted as ::millstream_events::Event>::schema,
    <self::order_events::OrderShipped as ::millstream_events::Event>::schema,
    <self::orders::CancelOrder as ::millstream_events::Event>::schema,
    <self::orders::OrderPlaced as ::millstream_events::Event>::schema,
    <self::orders::OrderRefused as ::millstream_events::Event>::schema,
    <self::orders::PlaceOrder as ::millstream_events::Event>::schema,
];
/// Decodes the event with this full name and hands it to `visitor`; `None` when it is not in the catalogue.
#[allow(dead_code)]
pub fn decode_and_visit<D: ::millstream_events::Decode, V: ::millstream_events::Visit>(full_name: &str, source: D, visitor: V) -> ::std::option::Option<::std::result::Result<V::Output, D::Error>> {
    ::std::option::Option::Some(match full_name {
        "acme.order_counts.OrderCounted" => source.decode::<self::order_counts::OrderCounted>().map(|event| visitor.event(&event)),
        "acme.order_events.OrderShipped" => source.decode::<self::order_events::OrderShipped>().map(|event| visitor.event(&event)),
        "acme.orders.CancelOrder" => source.decode::<self::orders::CancelOrder>().map(|event| visitor.event(&event)),
        "acme.orders.OrderPlaced" => source.decode::<self::orders::OrderPlaced>().map(|event| visitor.event(&event)),
        "acme.orders.OrderRefused" => source.decode::<self::orders::OrderRefused>().map(|event| visitor.event(&event)),
        "acme.orders.PlaceOrder" => source.decode::<self::orders::PlaceOrder>().map(|event| visitor.event(&event)),
        _ => return ::std::option::Option::None,
    })
}
#[doc = "Carries results to whoever awaits them."]
#[allow(dead_code)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Answers;
impl ::millstream_events::Topic for Answers {
    const DECLARATION: &'static ::millstream_events::Declaration = &::millstream_events::Declaration {
        name: "answers",
        description: "Carries results to whoever awaits them.",
        key: "awakeable id",
        events: &[],
        subjects: ::millstream_events::Subjects::TopicRecord,
        partitions: 8,
        replication: ::std::option::Option::None,
        retention_ms: 604800000,
        cleanup: ::millstream_events::Cleanup::Delete,
        tombstones: ::millstream_events::Tombstones::DeadLetter,
        subscriptions: &[::millstream_events::Subscription { service: "Replies", handler: "onReply" }],
        results: ::std::option::Option::None,
        dead_letters: false,
        replies: true,
        access: ::millstream_events::Access::Library,
        guard: false,
        guard_key_field: ::std::option::Option::None,
        generation: 1,
        input_window: 64,
        idempotency_window: 32,
        idempotency_bytes: 262144,
        state_limit: 4194304,
        identity: ::millstream_events::Identity::None,
        http: &[],
        lane: ::millstream_events::Lane::Event,
    };
    type Event = ();
    type Result = ();
}
#[doc = "Counts orders."]
#[allow(dead_code)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderCounts;
impl ::millstream_events::Topic for OrderCounts {
    const DECLARATION: &'static ::millstream_events::Declaration = &::millstream_events::Declaration {
        name: "order-counts",
        description: "Counts orders.",
        key: "shop",
        events: &[::millstream_events::EventDeclaration { full_name: "acme.order_counts.OrderCounted", results: &[], schema: <self::order_counts::OrderCounted as ::millstream_events::Event>::schema }],
        subjects: ::millstream_events::Subjects::Topic,
        partitions: 4,
        replication: ::std::option::Option::None,
        retention_ms: 604800000,
        cleanup: ::millstream_events::Cleanup::Delete,
        tombstones: ::millstream_events::Tombstones::DeadLetter,
        subscriptions: &[::millstream_events::Subscription { service: "OrderMeter", handler: "onCounted" }],
        results: ::std::option::Option::None,
        dead_letters: true,
        replies: false,
        access: ::millstream_events::Access::Service,
        guard: false,
        guard_key_field: ::std::option::Option::None,
        generation: 1,
        input_window: 16,
        idempotency_window: 8,
        idempotency_bytes: 262144,
        state_limit: 4194304,
        identity: ::millstream_events::Identity::None,
        http: &[],
        lane: ::millstream_events::Lane::Batch,
    };
    type Event = self::order_counts::OrderCounted;
    type Result = ();
}
#[doc = "Tells what happened to orders."]
#[allow(dead_code)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderEvents;
impl ::millstream_events::Topic for OrderEvents {
    const DECLARATION: &'static ::millstream_events::Declaration = &::millstream_events::Declaration {
        name: "order-events",
        description: "Tells what happened to orders.",
        key: "order id",
        events: &[::millstream_events::EventDeclaration { full_name: "acme.order_events.OrderShipped", results: &[], schema: <self::order_events::OrderShipped as ::millstream_events::Event>::schema }],
        subjects: ::millstream_events::Subjects::Topic,
        partitions: 8,
        replication: ::std::option::Option::None,
        retention_ms: -1,
        cleanup: ::millstream_events::Cleanup::Compact,
        tombstones: ::millstream_events::Tombstones::Skip,
        subscriptions: &[],
        results: ::std::option::Option::None,
        dead_letters: true,
        replies: false,
        access: ::millstream_events::Access::Public,
        guard: false,
        guard_key_field: ::std::option::Option::None,
        generation: 1,
        input_window: 64,
        idempotency_window: 32,
        idempotency_bytes: 262144,
        state_limit: 4194304,
        identity: ::millstream_events::Identity::None,
        http: &[],
        lane: ::millstream_events::Lane::Event,
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
impl ::millstream_events::EventSet for OrdersEvent {
    fn decode<D: ::millstream_events::Decode>(full_name: &str, source: D) -> ::std::option::Option<::std::result::Result<Self, D::Error>> {
        ::std::option::Option::Some(match full_name {
            "acme.orders.PlaceOrder" => source.decode().map(Self::PlaceOrder),
            "acme.orders.CancelOrder" => source.decode().map(Self::CancelOrder),
            _ => return ::std::option::Option::None,
        })
    }
    fn visit<V: ::millstream_events::Visit>(&self, visitor: V) -> ::std::option::Option<V::Output> {
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
impl ::millstream_events::EventSet for OrdersResult {
    fn decode<D: ::millstream_events::Decode>(full_name: &str, source: D) -> ::std::option::Option<::std::result::Result<Self, D::Error>> {
        ::std::option::Option::Some(match full_name {
            "acme.orders.OrderPlaced" => source.decode().map(Self::OrderPlaced),
            "acme.orders.OrderRefused" => source.decode().map(Self::OrderRefused),
            _ => return ::std::option::Option::None,
        })
    }
    fn visit<V: ::millstream_events::Visit>(&self, visitor: V) -> ::std::option::Option<V::Output> {
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
impl ::millstream_events::Topic for Orders {
    const DECLARATION: &'static ::millstream_events::Declaration = &::millstream_events::Declaration {
        name: "orders",
        description: "Places and cancels orders.",
        key: "order id",
        events: &[::millstream_events::EventDeclaration { full_name: "acme.orders.PlaceOrder", results: &["acme.orders.OrderPlaced", "acme.orders.OrderRefused"], schema: <self::orders::PlaceOrder as ::millstream_events::Event>::schema }, ::millstream_events::EventDeclaration { full_name: "acme.orders.CancelOrder", results: &["acme.orders.OrderRefused"], schema: <self::orders::CancelOrder as ::millstream_events::Event>::schema }],
        subjects: ::millstream_events::Subjects::TopicRecord,
        partitions: 4,
        replication: ::std::option::Option::Some(3),
        retention_ms: 43200000,
        cleanup: ::millstream_events::Cleanup::Delete,
        tombstones: ::millstream_events::Tombstones::Skip,
        subscriptions: &[::millstream_events::Subscription { service: "Orders", handler: "onEvent" }, ::millstream_events::Subscription { service: "Audit", handler: "onOrder" }],
        results: ::std::option::Option::Some(::millstream_events::ResultTopic { name: "orders-results", partitions: 2, retention_ms: -1, schemas: &[<self::orders::OrderPlaced as ::millstream_events::Event>::schema, <self::orders::OrderRefused as ::millstream_events::Event>::schema, <::millstream_events::RequestFailed as ::millstream_events::Event>::schema], once: ::std::option::Option::Some(::millstream_events::Once { name: "orders-results-once", service: "OrdersResultsOnce", marks_ms: 2592000000, generation: 3 }) }),
        dead_letters: true,
        replies: false,
        access: ::millstream_events::Access::Service,
        guard: true,
        guard_key_field: ::std::option::Option::Some("order_id"),
        generation: 2,
        input_window: 128,
        idempotency_window: 16,
        idempotency_bytes: 65536,
        state_limit: 1048576,
        identity: ::millstream_events::Identity::Required,
        http: &[::millstream_events::HttpRoute { method: "DELETE", path: "/orders/{order}", key: "order-{order}", event: "acme.orders.CancelOrder", signature: ::std::option::Option::None, respond_async: false, fields: &[], constants: &[] }, ::millstream_events::HttpRoute { method: "POST", path: "/orders/{order}/{customer}", key: "{order}", event: "acme.orders.PlaceOrder", signature: ::std::option::Option::Some(::millstream_events::Signature::Stripe), respond_async: true, fields: &[("customerId", "{customer}"), ("lines", "$body")], constants: &[("amount_cents", "1"), ("blobs", "{}"), ("day", "0"), ("gift", "false"), ("label", "\"l\""), ("labels", "{\"a\":\"b\"}"), ("mode", "\"twoPhase\""), ("pages", "[]"), ("price", "{\"cents\":1,\"currency\":\"EUR\"}"), ("time", "0"), ("type", "1"), ("volume", "2"), ("weight", "1.5")] }],
        lane: ::millstream_events::Lane::Event,
    };
    type Event = OrdersEvent;
    type Result = OrdersResult;
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
    RequestFailed(::millstream_events::RequestFailed),
}
impl ::millstream_events::EventSet for OrdersResultsEvent {
    fn decode<D: ::millstream_events::Decode>(full_name: &str, source: D) -> ::std::option::Option<::std::result::Result<Self, D::Error>> {
        ::std::option::Option::Some(match full_name {
            "acme.orders.OrderPlaced" => source.decode().map(Self::OrderPlaced),
            "acme.orders.OrderRefused" => source.decode().map(Self::OrderRefused),
            "millstream.RequestFailed" => source.decode().map(Self::RequestFailed),
            _ => return ::std::option::Option::None,
        })
    }
    fn visit<V: ::millstream_events::Visit>(&self, visitor: V) -> ::std::option::Option<V::Output> {
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
impl ::std::convert::From<::millstream_events::RequestFailed> for OrdersResultsEvent {
    fn from(event: ::millstream_events::RequestFailed) -> Self {
        Self::RequestFailed(event)
    }
}

#[doc = "Results of the commands on orders."]
#[allow(dead_code)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrdersResults;
impl ::millstream_events::Topic for OrdersResults {
    const DECLARATION: &'static ::millstream_events::Declaration = &::millstream_events::Declaration {
        name: "orders-results",
        description: "Results of the commands on orders.",
        key: "order id",
        events: &[::millstream_events::EventDeclaration { full_name: "acme.orders.OrderPlaced", results: &[], schema: <self::orders::OrderPlaced as ::millstream_events::Event>::schema }, ::millstream_events::EventDeclaration { full_name: "acme.orders.OrderRefused", results: &[], schema: <self::orders::OrderRefused as ::millstream_events::Event>::schema }, ::millstream_events::EventDeclaration { full_name: "millstream.RequestFailed", results: &[], schema: <::millstream_events::RequestFailed as ::millstream_events::Event>::schema }],
        subjects: ::millstream_events::Subjects::TopicRecord,
        partitions: 2,
        replication: ::std::option::Option::Some(3),
        retention_ms: -1,
        cleanup: ::millstream_events::Cleanup::Delete,
        tombstones: ::millstream_events::Tombstones::DeadLetter,
        subscriptions: &[::millstream_events::Subscription { service: "Audit", handler: "onResult" }],
        results: ::std::option::Option::None,
        dead_letters: true,
        replies: false,
        access: ::millstream_events::Access::Service,
        guard: false,
        guard_key_field: ::std::option::Option::None,
        generation: 2,
        input_window: 128,
        idempotency_window: 16,
        idempotency_bytes: 65536,
        state_limit: 1048576,
        identity: ::millstream_events::Identity::None,
        http: &[],
        lane: ::millstream_events::Lane::Event,
    };
    type Event = OrdersResultsEvent;
    type Result = ();
}
#[doc = "Work orders of OrderMeter: where records wait."]
#[allow(dead_code)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderMeterWork;
impl ::millstream_events::Topic for OrderMeterWork {
    const DECLARATION: &'static ::millstream_events::Declaration = &::millstream_events::Declaration {
        name: "order-meter-work",
        description: "Work orders of OrderMeter: where records wait.",
        key: "partition",
        events: &[::millstream_events::EventDeclaration { full_name: "millstream.WorkDue", results: &[], schema: <::millstream_events::WorkDue as ::millstream_events::Event>::schema }],
        subjects: ::millstream_events::Subjects::Topic,
        partitions: 4,
        replication: ::std::option::Option::None,
        retention_ms: 86400000,
        cleanup: ::millstream_events::Cleanup::Delete,
        tombstones: ::millstream_events::Tombstones::Skip,
        subscriptions: &[::millstream_events::Subscription { service: "OrderMeter", handler: "work" }],
        results: ::std::option::Option::None,
        dead_letters: false,
        replies: false,
        access: ::millstream_events::Access::Library,
        guard: false,
        guard_key_field: ::std::option::Option::None,
        generation: 1,
        input_window: 16,
        idempotency_window: 8,
        idempotency_bytes: 262144,
        state_limit: 4194304,
        identity: ::millstream_events::Identity::None,
        http: &[],
        lane: ::millstream_events::Lane::Event,
    };
    type Event = ::millstream_events::WorkDue;
    type Result = ();
}
#[doc = "States of OrderMeter, and up to where its topics are decided."]
#[allow(dead_code)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderMeterState;
impl ::millstream_events::Topic for OrderMeterState {
    const DECLARATION: &'static ::millstream_events::Declaration = &::millstream_events::Declaration {
        name: "order-meter-state",
        description: "States of OrderMeter, and up to where its topics are decided.",
        key: "shop",
        events: &[],
        subjects: ::millstream_events::Subjects::TopicRecord,
        partitions: 4,
        replication: ::std::option::Option::None,
        retention_ms: -1,
        cleanup: ::millstream_events::Cleanup::Compact,
        tombstones: ::millstream_events::Tombstones::Skip,
        subscriptions: &[],
        results: ::std::option::Option::None,
        dead_letters: false,
        replies: false,
        access: ::millstream_events::Access::Library,
        guard: false,
        guard_key_field: ::std::option::Option::None,
        generation: 1,
        input_window: 16,
        idempotency_window: 8,
        idempotency_bytes: 262144,
        state_limit: 4194304,
        identity: ::millstream_events::Identity::None,
        http: &[],
        lane: ::millstream_events::Lane::Event,
    };
    type Event = ();
    type Result = ();
}
#[doc = "Work orders of OrdersResultsOnce: where records wait."]
#[allow(dead_code)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrdersResultsOnceWork;
impl ::millstream_events::Topic for OrdersResultsOnceWork {
    const DECLARATION: &'static ::millstream_events::Declaration = &::millstream_events::Declaration {
        name: "orders-results-once-work",
        description: "Work orders of OrdersResultsOnce: where records wait.",
        key: "partition",
        events: &[::millstream_events::EventDeclaration { full_name: "millstream.WorkDue", results: &[], schema: <::millstream_events::WorkDue as ::millstream_events::Event>::schema }],
        subjects: ::millstream_events::Subjects::Topic,
        partitions: 2,
        replication: ::std::option::Option::Some(3),
        retention_ms: 86400000,
        cleanup: ::millstream_events::Cleanup::Delete,
        tombstones: ::millstream_events::Tombstones::Skip,
        subscriptions: &[::millstream_events::Subscription { service: "OrdersResultsOnce", handler: "work" }],
        results: ::std::option::Option::None,
        dead_letters: false,
        replies: false,
        access: ::millstream_events::Access::Library,
        guard: false,
        guard_key_field: ::std::option::Option::None,
        generation: 3,
        input_window: 128,
        idempotency_window: 16,
        idempotency_bytes: 65536,
        state_limit: 1048576,
        identity: ::millstream_events::Identity::None,
        http: &[],
        lane: ::millstream_events::Lane::Event,
    };
    type Event = ::millstream_events::WorkDue;
    type Result = ();
}
#[doc = "States of OrdersResultsOnce, and up to where its topics are decided."]
#[allow(dead_code)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrdersResultsOnceState;
impl ::millstream_events::Topic for OrdersResultsOnceState {
    const DECLARATION: &'static ::millstream_events::Declaration = &::millstream_events::Declaration {
        name: "orders-results-once-state",
        description: "States of OrdersResultsOnce, and up to where its topics are decided.",
        key: "order id",
        events: &[],
        subjects: ::millstream_events::Subjects::TopicRecord,
        partitions: 2,
        replication: ::std::option::Option::Some(3),
        retention_ms: -1,
        cleanup: ::millstream_events::Cleanup::Compact,
        tombstones: ::millstream_events::Tombstones::Skip,
        subscriptions: &[],
        results: ::std::option::Option::None,
        dead_letters: false,
        replies: false,
        access: ::millstream_events::Access::Library,
        guard: false,
        guard_key_field: ::std::option::Option::None,
        generation: 3,
        input_window: 128,
        idempotency_window: 16,
        idempotency_bytes: 65536,
        state_limit: 1048576,
        identity: ::millstream_events::Identity::None,
        http: &[],
        lane: ::millstream_events::Lane::Event,
    };
    type Event = ();
    type Result = ();
}
/// Every topic in the catalogue and of the library, every result topic that somebody handles, and the topics
/// that services of the batch lane have for themselves.
#[allow(dead_code)]
pub static TOPICS: &[&::millstream_events::Declaration] = &[
    <self::Answers as ::millstream_events::Topic>::DECLARATION,
    <::millstream_events::DlqStatus as ::millstream_events::Topic>::DECLARATION,
    <self::OrderCounts as ::millstream_events::Topic>::DECLARATION,
    <self::OrderEvents as ::millstream_events::Topic>::DECLARATION,
    <self::Orders as ::millstream_events::Topic>::DECLARATION,
    <::millstream_events::Replies as ::millstream_events::Topic>::DECLARATION,
    <::millstream_events::Timers as ::millstream_events::Topic>::DECLARATION,
    <self::OrdersResults as ::millstream_events::Topic>::DECLARATION,
    <self::OrderMeterWork as ::millstream_events::Topic>::DECLARATION,
    <self::OrderMeterState as ::millstream_events::Topic>::DECLARATION,
    <self::OrdersResultsOnceWork as ::millstream_events::Topic>::DECLARATION,
    <self::OrdersResultsOnceState as ::millstream_events::Topic>::DECLARATION,
];
#[doc = "The events of `order-counts`."]
pub mod order_counts {
#[doc = "An order was counted."]
#[allow(dead_code)]
#[derive(Clone, Debug, PartialEq, Eq, Default, ::millstream_events::serde::Serialize, ::millstream_events::serde::Deserialize)]
#[serde(crate = "::millstream_events::serde")]
pub struct OrderCounted {
    #[doc = "How many there are."]
    pub count: i32,
}
impl ::millstream_events::Event for OrderCounted {
    const FULL_NAME: &'static str = "acme.order_counts.OrderCounted";
    fn schema() -> &'static ::millstream_events::EventSchema {
        static SCHEMA: ::std::sync::OnceLock<::millstream_events::EventSchema> = ::std::sync::OnceLock::new();
        SCHEMA.get_or_init(|| ::millstream_events::EventSchema::of_generated("acme.order_counts.OrderCounted", "{\"type\":\"record\",\"name\":\"OrderCounted\",\"namespace\":\"acme.order_counts\",\"doc\":\"An order was counted.\",\"fields\":[{\"name\":\"count\",\"type\":\"int\",\"doc\":\"How many there are.\"},{\"name\":\"meta\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"EventMeta\",\"namespace\":\"millstream\",\"doc\":\"Where an event comes from, what it belongs to and where its answer goes. Names are those of CloudEvents where it has one.\",\"fields\":[{\"name\":\"id\",\"type\":\"string\",\"doc\":\"Unique per event; the same for every copy of it.\"},{\"name\":\"source\",\"type\":\"string\",\"doc\":\"Who emitted it: <Service>/<object key>, or the producer's name.\"},{\"name\":\"time\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"},\"doc\":\"When, in microseconds since 1970-01-01 UTC.\"},{\"name\":\"correlation_id\",\"type\":\"string\",\"doc\":\"The request that it belongs to.\"},{\"name\":\"causation_id\",\"type\":[\"null\",\"string\"],\"doc\":\"Id of the event that caused it.\",\"default\":null},{\"name\":\"original_id\",\"type\":[\"null\",\"string\"],\"doc\":\"For a repeated answer: id of the first one.\",\"default\":null},{\"name\":\"reply_to\",\"type\":[\"null\",\"string\"],\"doc\":\"Topic for the answer; null: the declared result topic.\",\"default\":null},{\"name\":\"reply_key\",\"type\":[\"null\",\"string\"],\"doc\":\"Key for the answer; null: the command's key.\",\"default\":null},{\"name\":\"idempotency_key\",\"type\":[\"null\",\"string\"],\"doc\":\"Commands of one key with the same idempotency key are executed once.\",\"default\":null},{\"name\":\"principal\",\"type\":[\"null\",\"string\"],\"doc\":\"Authenticated identity of the sender.\",\"default\":null},{\"name\":\"proof\",\"type\":[\"null\",\"string\"],\"doc\":\"Signature that proves the principal.\",\"default\":null},{\"name\":\"seq\",\"type\":[\"null\",\"long\"],\"doc\":\"Position among the events that this source emitted to this topic with this key, from 1 without gaps.\",\"default\":null},{\"name\":\"epoch\",\"type\":[\"null\",\"string\"],\"doc\":\"Changes when seq starts again.\",\"default\":null},{\"name\":\"not_before\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}],\"doc\":\"Honoured by the topic timers alone.\",\"default\":null},{\"name\":\"expires_at\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}],\"doc\":\"A command handled later than this is answered with expired.\",\"default\":null},{\"name\":\"traceparent\",\"type\":[\"null\",\"string\"],\"doc\":\"W3C trace context.\",\"default\":null},{\"name\":\"tracestate\",\"type\":[\"null\",\"string\"],\"doc\":\"W3C trace state.\",\"default\":null}]}],\"default\":null}]}", "{ \"count\": 7 }"))
    }
}
}
#[doc = "The events of `order-events`."]
pub mod order_events {
#[doc = "A fact."]
#[allow(dead_code)]
#[derive(Clone, Debug, PartialEq, Eq, Default, ::millstream_events::serde::Serialize, ::millstream_events::serde::Deserialize)]
#[serde(crate = "::millstream_events::serde")]
pub struct OrderShipped {
    #[doc = "The field carrier."]
    pub carrier: ::std::string::String,
}
impl ::millstream_events::Event for OrderShipped {
    const FULL_NAME: &'static str = "acme.order_events.OrderShipped";
    fn schema() -> &'static ::millstream_events::EventSchema {
        static SCHEMA: ::std::sync::OnceLock<::millstream_events::EventSchema> = ::std::sync::OnceLock::new();
        SCHEMA.get_or_init(|| ::millstream_events::EventSchema::of_generated("acme.order_events.OrderShipped", "{\"type\":\"record\",\"name\":\"OrderShipped\",\"namespace\":\"acme.order_events\",\"doc\":\"A fact.\",\"fields\":[{\"name\":\"carrier\",\"type\":\"string\"},{\"name\":\"meta\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"EventMeta\",\"namespace\":\"millstream\",\"doc\":\"Where an event comes from, what it belongs to and where its answer goes. Names are those of CloudEvents where it has one.\",\"fields\":[{\"name\":\"id\",\"type\":\"string\",\"doc\":\"Unique per event; the same for every copy of it.\"},{\"name\":\"source\",\"type\":\"string\",\"doc\":\"Who emitted it: <Service>/<object key>, or the producer's name.\"},{\"name\":\"time\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"},\"doc\":\"When, in microseconds since 1970-01-01 UTC.\"},{\"name\":\"correlation_id\",\"type\":\"string\",\"doc\":\"The request that it belongs to.\"},{\"name\":\"causation_id\",\"type\":[\"null\",\"string\"],\"doc\":\"Id of the event that caused it.\",\"default\":null},{\"name\":\"original_id\",\"type\":[\"null\",\"string\"],\"doc\":\"For a repeated answer: id of the first one.\",\"default\":null},{\"name\":\"reply_to\",\"type\":[\"null\",\"string\"],\"doc\":\"Topic for the answer; null: the declared result topic.\",\"default\":null},{\"name\":\"reply_key\",\"type\":[\"null\",\"string\"],\"doc\":\"Key for the answer; null: the command's key.\",\"default\":null},{\"name\":\"idempotency_key\",\"type\":[\"null\",\"string\"],\"doc\":\"Commands of one key with the same idempotency key are executed once.\",\"default\":null},{\"name\":\"principal\",\"type\":[\"null\",\"string\"],\"doc\":\"Authenticated identity of the sender.\",\"default\":null},{\"name\":\"proof\",\"type\":[\"null\",\"string\"],\"doc\":\"Signature that proves the principal.\",\"default\":null},{\"name\":\"seq\",\"type\":[\"null\",\"long\"],\"doc\":\"Position among the events that this source emitted to this topic with this key, from 1 without gaps.\",\"default\":null},{\"name\":\"epoch\",\"type\":[\"null\",\"string\"],\"doc\":\"Changes when seq starts again.\",\"default\":null},{\"name\":\"not_before\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}],\"doc\":\"Honoured by the topic timers alone.\",\"default\":null},{\"name\":\"expires_at\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}],\"doc\":\"A command handled later than this is answered with expired.\",\"default\":null},{\"name\":\"traceparent\",\"type\":[\"null\",\"string\"],\"doc\":\"W3C trace context.\",\"default\":null},{\"name\":\"tracestate\",\"type\":[\"null\",\"string\"],\"doc\":\"W3C trace state.\",\"default\":null}]}],\"default\":null}]}", "{ \"carrier\": \"Snail\" }"))
    }
}
}
#[doc = "The events of `orders`."]
pub mod orders {
#[doc = "Has no fields."]
#[allow(dead_code)]
#[derive(Clone, Debug, PartialEq, Eq, Default, ::millstream_events::serde::Serialize, ::millstream_events::serde::Deserialize)]
#[serde(crate = "::millstream_events::serde")]
pub struct CancelOrder {
}
impl ::millstream_events::Event for CancelOrder {
    const FULL_NAME: &'static str = "acme.orders.CancelOrder";
    fn schema() -> &'static ::millstream_events::EventSchema {
        static SCHEMA: ::std::sync::OnceLock<::millstream_events::EventSchema> = ::std::sync::OnceLock::new();
        SCHEMA.get_or_init(|| ::millstream_events::EventSchema::of_generated("acme.orders.CancelOrder", "{\"type\":\"record\",\"name\":\"CancelOrder\",\"namespace\":\"acme.orders\",\"doc\":\"Has no fields.\",\"fields\":[{\"name\":\"meta\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"EventMeta\",\"namespace\":\"millstream\",\"doc\":\"Where an event comes from, what it belongs to and where its answer goes. Names are those of CloudEvents where it has one.\",\"fields\":[{\"name\":\"id\",\"type\":\"string\",\"doc\":\"Unique per event; the same for every copy of it.\"},{\"name\":\"source\",\"type\":\"string\",\"doc\":\"Who emitted it: <Service>/<object key>, or the producer's name.\"},{\"name\":\"time\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"},\"doc\":\"When, in microseconds since 1970-01-01 UTC.\"},{\"name\":\"correlation_id\",\"type\":\"string\",\"doc\":\"The request that it belongs to.\"},{\"name\":\"causation_id\",\"type\":[\"null\",\"string\"],\"doc\":\"Id of the event that caused it.\",\"default\":null},{\"name\":\"original_id\",\"type\":[\"null\",\"string\"],\"doc\":\"For a repeated answer: id of the first one.\",\"default\":null},{\"name\":\"reply_to\",\"type\":[\"null\",\"string\"],\"doc\":\"Topic for the answer; null: the declared result topic.\",\"default\":null},{\"name\":\"reply_key\",\"type\":[\"null\",\"string\"],\"doc\":\"Key for the answer; null: the command's key.\",\"default\":null},{\"name\":\"idempotency_key\",\"type\":[\"null\",\"string\"],\"doc\":\"Commands of one key with the same idempotency key are executed once.\",\"default\":null},{\"name\":\"principal\",\"type\":[\"null\",\"string\"],\"doc\":\"Authenticated identity of the sender.\",\"default\":null},{\"name\":\"proof\",\"type\":[\"null\",\"string\"],\"doc\":\"Signature that proves the principal.\",\"default\":null},{\"name\":\"seq\",\"type\":[\"null\",\"long\"],\"doc\":\"Position among the events that this source emitted to this topic with this key, from 1 without gaps.\",\"default\":null},{\"name\":\"epoch\",\"type\":[\"null\",\"string\"],\"doc\":\"Changes when seq starts again.\",\"default\":null},{\"name\":\"not_before\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}],\"doc\":\"Honoured by the topic timers alone.\",\"default\":null},{\"name\":\"expires_at\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}],\"doc\":\"A command handled later than this is answered with expired.\",\"default\":null},{\"name\":\"traceparent\",\"type\":[\"null\",\"string\"],\"doc\":\"W3C trace context.\",\"default\":null},{\"name\":\"tracestate\",\"type\":[\"null\",\"string\"],\"doc\":\"W3C trace state.\",\"default\":null}]}],\"default\":null}]}", "{}"))
    }
}
#[doc = "A part of acme.orders.PlaceOrder."]
#[allow(dead_code)]
#[derive(Clone, Debug, PartialEq, Eq, Default, ::millstream_events::serde::Serialize, ::millstream_events::serde::Deserialize)]
#[serde(crate = "::millstream_events::serde")]
pub struct Line {
    #[doc = "The field item."]
    pub item: ::std::string::String,
    #[doc = "The field price."]
    pub price: ::std::option::Option<super::Money>,
}
#[doc = "A part of acme.orders.PlaceOrder."]
#[allow(dead_code)]
#[derive(Clone, Debug, PartialEq, Copy, Eq, PartialOrd, Ord, Hash, ::millstream_events::serde::Serialize, ::millstream_events::serde::Deserialize)]
#[serde(crate = "::millstream_events::serde")]
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
#[derive(Clone, Debug, PartialEq, Eq, Default, ::millstream_events::serde::Serialize, ::millstream_events::serde::Deserialize)]
#[serde(crate = "::millstream_events::serde")]
pub struct OrderPlaced {
    #[doc = "The field total."]
    pub total: ::std::option::Option<super::Money>,
}
impl ::millstream_events::Event for OrderPlaced {
    const FULL_NAME: &'static str = "acme.orders.OrderPlaced";
    fn schema() -> &'static ::millstream_events::EventSchema {
        static SCHEMA: ::std::sync::OnceLock<::millstream_events::EventSchema> = ::std::sync::OnceLock::new();
        SCHEMA.get_or_init(|| ::millstream_events::EventSchema::of_generated("acme.orders.OrderPlaced", "{\"type\":\"record\",\"name\":\"OrderPlaced\",\"namespace\":\"acme.orders\",\"doc\":\"A result.\",\"fields\":[{\"name\":\"total\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"Money\",\"namespace\":\"acme\",\"doc\":\"An amount, shared by several events.\",\"fields\":[{\"name\":\"cents\",\"type\":\"long\"},{\"name\":\"currency\",\"type\":{\"type\":\"enum\",\"name\":\"Currency\",\"doc\":\"A currency.\",\"symbols\":[\"EUR\",\"USD\"],\"default\":\"EUR\"}}]}],\"default\":null},{\"name\":\"meta\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"EventMeta\",\"namespace\":\"millstream\",\"doc\":\"Where an event comes from, what it belongs to and where its answer goes. Names are those of CloudEvents where it has one.\",\"fields\":[{\"name\":\"id\",\"type\":\"string\",\"doc\":\"Unique per event; the same for every copy of it.\"},{\"name\":\"source\",\"type\":\"string\",\"doc\":\"Who emitted it: <Service>/<object key>, or the producer's name.\"},{\"name\":\"time\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"},\"doc\":\"When, in microseconds since 1970-01-01 UTC.\"},{\"name\":\"correlation_id\",\"type\":\"string\",\"doc\":\"The request that it belongs to.\"},{\"name\":\"causation_id\",\"type\":[\"null\",\"string\"],\"doc\":\"Id of the event that caused it.\",\"default\":null},{\"name\":\"original_id\",\"type\":[\"null\",\"string\"],\"doc\":\"For a repeated answer: id of the first one.\",\"default\":null},{\"name\":\"reply_to\",\"type\":[\"null\",\"string\"],\"doc\":\"Topic for the answer; null: the declared result topic.\",\"default\":null},{\"name\":\"reply_key\",\"type\":[\"null\",\"string\"],\"doc\":\"Key for the answer; null: the command's key.\",\"default\":null},{\"name\":\"idempotency_key\",\"type\":[\"null\",\"string\"],\"doc\":\"Commands of one key with the same idempotency key are executed once.\",\"default\":null},{\"name\":\"principal\",\"type\":[\"null\",\"string\"],\"doc\":\"Authenticated identity of the sender.\",\"default\":null},{\"name\":\"proof\",\"type\":[\"null\",\"string\"],\"doc\":\"Signature that proves the principal.\",\"default\":null},{\"name\":\"seq\",\"type\":[\"null\",\"long\"],\"doc\":\"Position among the events that this source emitted to this topic with this key, from 1 without gaps.\",\"default\":null},{\"name\":\"epoch\",\"type\":[\"null\",\"string\"],\"doc\":\"Changes when seq starts again.\",\"default\":null},{\"name\":\"not_before\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}],\"doc\":\"Honoured by the topic timers alone.\",\"default\":null},{\"name\":\"expires_at\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}],\"doc\":\"A command handled later than this is answered with expired.\",\"default\":null},{\"name\":\"traceparent\",\"type\":[\"null\",\"string\"],\"doc\":\"W3C trace context.\",\"default\":null},{\"name\":\"tracestate\",\"type\":[\"null\",\"string\"],\"doc\":\"W3C trace state.\",\"default\":null}]}],\"default\":null}]}", "{ \"total\": { \"cents\": 1, \"currency\": \"USD\" } }"))
    }
}
#[doc = "A result."]
#[allow(dead_code)]
#[derive(Clone, Debug, PartialEq, Eq, Default, ::millstream_events::serde::Serialize, ::millstream_events::serde::Deserialize)]
#[serde(crate = "::millstream_events::serde")]
pub struct OrderRefused {
    #[doc = "The field total."]
    pub total: ::std::option::Option<super::Money>,
}
impl ::millstream_events::Event for OrderRefused {
    const FULL_NAME: &'static str = "acme.orders.OrderRefused";
    fn schema() -> &'static ::millstream_events::EventSchema {
        static SCHEMA: ::std::sync::OnceLock<::millstream_events::EventSchema> = ::std::sync::OnceLock::new();
        SCHEMA.get_or_init(|| ::millstream_events::EventSchema::of_generated("acme.orders.OrderRefused", "{\"type\":\"record\",\"name\":\"OrderRefused\",\"namespace\":\"acme.orders\",\"doc\":\"A result.\",\"fields\":[{\"name\":\"total\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"Money\",\"namespace\":\"acme\",\"doc\":\"An amount, shared by several events.\",\"fields\":[{\"name\":\"cents\",\"type\":\"long\"},{\"name\":\"currency\",\"type\":{\"type\":\"enum\",\"name\":\"Currency\",\"doc\":\"A currency.\",\"symbols\":[\"EUR\",\"USD\"],\"default\":\"EUR\"}}]}],\"default\":null},{\"name\":\"meta\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"EventMeta\",\"namespace\":\"millstream\",\"doc\":\"Where an event comes from, what it belongs to and where its answer goes. Names are those of CloudEvents where it has one.\",\"fields\":[{\"name\":\"id\",\"type\":\"string\",\"doc\":\"Unique per event; the same for every copy of it.\"},{\"name\":\"source\",\"type\":\"string\",\"doc\":\"Who emitted it: <Service>/<object key>, or the producer's name.\"},{\"name\":\"time\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"},\"doc\":\"When, in microseconds since 1970-01-01 UTC.\"},{\"name\":\"correlation_id\",\"type\":\"string\",\"doc\":\"The request that it belongs to.\"},{\"name\":\"causation_id\",\"type\":[\"null\",\"string\"],\"doc\":\"Id of the event that caused it.\",\"default\":null},{\"name\":\"original_id\",\"type\":[\"null\",\"string\"],\"doc\":\"For a repeated answer: id of the first one.\",\"default\":null},{\"name\":\"reply_to\",\"type\":[\"null\",\"string\"],\"doc\":\"Topic for the answer; null: the declared result topic.\",\"default\":null},{\"name\":\"reply_key\",\"type\":[\"null\",\"string\"],\"doc\":\"Key for the answer; null: the command's key.\",\"default\":null},{\"name\":\"idempotency_key\",\"type\":[\"null\",\"string\"],\"doc\":\"Commands of one key with the same idempotency key are executed once.\",\"default\":null},{\"name\":\"principal\",\"type\":[\"null\",\"string\"],\"doc\":\"Authenticated identity of the sender.\",\"default\":null},{\"name\":\"proof\",\"type\":[\"null\",\"string\"],\"doc\":\"Signature that proves the principal.\",\"default\":null},{\"name\":\"seq\",\"type\":[\"null\",\"long\"],\"doc\":\"Position among the events that this source emitted to this topic with this key, from 1 without gaps.\",\"default\":null},{\"name\":\"epoch\",\"type\":[\"null\",\"string\"],\"doc\":\"Changes when seq starts again.\",\"default\":null},{\"name\":\"not_before\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}],\"doc\":\"Honoured by the topic timers alone.\",\"default\":null},{\"name\":\"expires_at\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}],\"doc\":\"A command handled later than this is answered with expired.\",\"default\":null},{\"name\":\"traceparent\",\"type\":[\"null\",\"string\"],\"doc\":\"W3C trace context.\",\"default\":null},{\"name\":\"tracestate\",\"type\":[\"null\",\"string\"],\"doc\":\"W3C trace state.\",\"default\":null}]}],\"default\":null}]}", "{ \"total\": { \"cents\": 1, \"currency\": \"USD\" } }"))
    }
}
#[doc = "Has every type; its key is the \\<order id\\>."]
#[allow(dead_code)]
#[derive(Clone, Debug, PartialEq, ::millstream_events::serde::Serialize, ::millstream_events::serde::Deserialize)]
#[serde(crate = "::millstream_events::serde")]
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
    pub label: ::millstream_events::Bytes,
    #[doc = "The field pages."]
    pub pages: ::std::vec::Vec<::millstream_events::Bytes>,
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
    pub blobs: ::std::collections::BTreeMap<::std::string::String, ::std::option::Option<::millstream_events::Bytes>>,
    #[doc = "The field note."]
    pub note: ::std::option::Option<::std::string::String>,
    #[doc = "The field seal."]
    pub seal: ::std::option::Option<::millstream_events::Bytes>,
    #[doc = "The field due."]
    pub due: ::std::option::Option<i64>,
}
impl ::millstream_events::Event for PlaceOrder {
    const FULL_NAME: &'static str = "acme.orders.PlaceOrder";
    fn schema() -> &'static ::millstream_events::EventSchema {
        static SCHEMA: ::std::sync::OnceLock<::millstream_events::EventSchema> = ::std::sync::OnceLock::new();
        SCHEMA.get_or_init(|| ::millstream_events::EventSchema::of_generated("acme.orders.PlaceOrder", "{\"type\":\"record\",\"name\":\"PlaceOrder\",\"namespace\":\"acme.orders\",\"doc\":\"Has every type; its key is the <order id>.\",\"fields\":[{\"name\":\"customerId\",\"type\":\"string\",\"doc\":\"Not in snake_case.\"},{\"name\":\"type\",\"type\":\"int\",\"default\":3},{\"name\":\"amount_cents\",\"type\":\"long\"},{\"name\":\"gift\",\"type\":\"boolean\",\"default\":false},{\"name\":\"weight\",\"type\":\"float\"},{\"name\":\"volume\",\"type\":\"double\"},{\"name\":\"label\",\"type\":\"bytes\"},{\"name\":\"pages\",\"type\":{\"type\":\"array\",\"items\":\"bytes\"}},{\"name\":\"time\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}},{\"name\":\"day\",\"type\":{\"type\":\"int\",\"logicalType\":\"date\"}},{\"name\":\"mode\",\"type\":{\"type\":\"enum\",\"name\":\"Mode\",\"symbols\":[\"AT_LEAST_ONCE\",\"CONDITIONAL\",\"twoPhase\"]}},{\"name\":\"fallback\",\"type\":[\"null\",\"acme.orders.Mode\"],\"default\":null},{\"name\":\"price\",\"type\":{\"type\":\"record\",\"name\":\"Money\",\"namespace\":\"acme\",\"doc\":\"An amount, shared by several events.\",\"fields\":[{\"name\":\"cents\",\"type\":\"long\"},{\"name\":\"currency\",\"type\":{\"type\":\"enum\",\"name\":\"Currency\",\"doc\":\"A currency.\",\"symbols\":[\"EUR\",\"USD\"],\"default\":\"EUR\"}}]}},{\"name\":\"lines\",\"type\":{\"type\":\"array\",\"items\":{\"type\":\"record\",\"name\":\"Line\",\"fields\":[{\"name\":\"item\",\"type\":\"string\"},{\"name\":\"price\",\"type\":[\"null\",\"acme.Money\"],\"default\":null}]}}},{\"name\":\"labels\",\"type\":{\"type\":\"map\",\"values\":\"string\"}},{\"name\":\"blobs\",\"type\":{\"type\":\"map\",\"values\":[\"null\",\"bytes\"]}},{\"name\":\"note\",\"type\":[\"null\",\"string\"],\"default\":null},{\"name\":\"seal\",\"type\":[\"null\",\"bytes\"],\"default\":null},{\"name\":\"due\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}],\"default\":null},{\"name\":\"meta\",\"type\":[\"null\",{\"type\":\"record\",\"name\":\"EventMeta\",\"namespace\":\"millstream\",\"doc\":\"Where an event comes from, what it belongs to and where its answer goes. Names are those of CloudEvents where it has one.\",\"fields\":[{\"name\":\"id\",\"type\":\"string\",\"doc\":\"Unique per event; the same for every copy of it.\"},{\"name\":\"source\",\"type\":\"string\",\"doc\":\"Who emitted it: <Service>/<object key>, or the producer's name.\"},{\"name\":\"time\",\"type\":{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"},\"doc\":\"When, in microseconds since 1970-01-01 UTC.\"},{\"name\":\"correlation_id\",\"type\":\"string\",\"doc\":\"The request that it belongs to.\"},{\"name\":\"causation_id\",\"type\":[\"null\",\"string\"],\"doc\":\"Id of the event that caused it.\",\"default\":null},{\"name\":\"original_id\",\"type\":[\"null\",\"string\"],\"doc\":\"For a repeated answer: id of the first one.\",\"default\":null},{\"name\":\"reply_to\",\"type\":[\"null\",\"string\"],\"doc\":\"Topic for the answer; null: the declared result topic.\",\"default\":null},{\"name\":\"reply_key\",\"type\":[\"null\",\"string\"],\"doc\":\"Key for the answer; null: the command's key.\",\"default\":null},{\"name\":\"idempotency_key\",\"type\":[\"null\",\"string\"],\"doc\":\"Commands of one key with the same idempotency key are executed once.\",\"default\":null},{\"name\":\"principal\",\"type\":[\"null\",\"string\"],\"doc\":\"Authenticated identity of the sender.\",\"default\":null},{\"name\":\"proof\",\"type\":[\"null\",\"string\"],\"doc\":\"Signature that proves the principal.\",\"default\":null},{\"name\":\"seq\",\"type\":[\"null\",\"long\"],\"doc\":\"Position among the events that this source emitted to this topic with this key, from 1 without gaps.\",\"default\":null},{\"name\":\"epoch\",\"type\":[\"null\",\"string\"],\"doc\":\"Changes when seq starts again.\",\"default\":null},{\"name\":\"not_before\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}],\"doc\":\"Honoured by the topic timers alone.\",\"default\":null},{\"name\":\"expires_at\",\"type\":[\"null\",{\"type\":\"long\",\"logicalType\":\"timestamp-micros\"}],\"doc\":\"A command handled later than this is answered with expired.\",\"default\":null},{\"name\":\"traceparent\",\"type\":[\"null\",\"string\"],\"doc\":\"W3C trace context.\",\"default\":null},{\"name\":\"tracestate\",\"type\":[\"null\",\"string\"],\"doc\":\"W3C trace state.\",\"default\":null}]}],\"default\":null}]}", "{\n  \"customerId\": \"c1\",\n  \"type\": 1,\n  \"amount_cents\": 1250,\n  \"gift\": true,\n  \"weight\": 0.5,\n  \"volume\": 2.25,\n  \"label\": \"text\",\n  \"pages\": [[1, 2, 255], \"abc\"],\n  \"time\": 1763719200000000,\n  \"day\": 20413,\n  \"mode\": \"AT_LEAST_ONCE\",\n  \"price\": { \"cents\": 1250, \"currency\": \"EUR\" },\n  \"lines\": [{ \"item\": \"book\" }, { \"item\": \"pen\", \"price\": { \"cents\": 99, \"currency\": \"USD\" } }],\n  \"labels\": { \"b\": \"2\", \"a\": \"1\" },\n  \"blobs\": { \"x\": null, \"y\": [0] },\n  \"note\": null,\n  \"seal\": [7]\n}"))
    }
}
}
