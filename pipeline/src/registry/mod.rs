//! The built-in schema registry: speaks the REST API of Confluent's, stores in the topic `_schemas`.
